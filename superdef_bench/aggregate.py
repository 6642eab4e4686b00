"""Records to accuracy rows: one per cell and eps, and worst cases over them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from superdef_bench.fingerprint import fingerprint
from superdef_bench.statistics import (
    Bits,
    pack_bits,
    pack_floats,
    unpack_bits,
    wilson,
    worst_case,
)
from superdef_bench.types import Rung

WORST = "worst"
ADAPTIVE = "adaptive"

COLUMNS = (
    "cell",
    "position",
    "image_id",
    "success",
    "linf",
    "l2",
    "forwards",
    "backwards",
    "psnr",
    "ssim",
    "batch_dependent",
    "error",
)


@dataclass(frozen=True)
class CellRecords:
    """The records of one cell, in the dataset's order, and what the cell is.

    Attributes:
        cell: Columns that all its rows share.
        kind: Of the attack: `budget`, `minimal` or `corruption`; `clean` without one.
        counted: Whether it takes part in worst cases.
        eps: Radii of the attack; a cell without a ball is read at each.
        wrong: Which images the defense gets wrong when clean.
        limit: Images that its rows cover, for the undefended classifier under a rung with fewer;
            worst cases take all.
    """

    cell: Mapping[str, Any]
    kind: str
    counted: bool
    eps: Sequence[float]
    table: pa.Table
    wrong: Bits | None = None
    limit: int | None = None

    def right(self, eps: float | None) -> Bits:
        """Return which images are right; without a ball, broken only within `eps` if given."""
        broken: Bits = self._column("success").astype(np.bool_)
        if self.kind == "minimal" and eps is not None:
            near = self.distance <= eps * (1 + 1e-5) + 1e-6
            # Too far away the attacker is left with the clean image.
            clean = np.zeros_like(near) if self.wrong is None else self.wrong[: len(near)]
            broken = np.where(near, broken, clean)
        return ~broken

    @property
    def radii(self) -> Sequence[float]:
        """Radii at which the cell gives a verdict."""
        return self.eps if self.kind == "minimal" else [self.cell["eps"]]

    @property
    def distance(self) -> NDArray[np.float64]:
        return self._column(self.cell["norm"]).astype(np.float64)

    def _column(self, name: str) -> NDArray[Any]:
        return self.table[name].to_numpy(zero_copy_only=False)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the accuracy rows of the cell: one per radius it is read at."""
        if self.limit is not None:
            yield from replace(self, table=self.table.slice(0, self.limit), limit=None).rows()
            return
        radii: list[float | None] = [self.cell["eps"]]
        if self.kind == "minimal":
            # A replay without a ball says how many of the smallest perturbations are undone.
            radii = [*([None] if self.cell["rung"] == Rung.GRAY_BOX else []), *self.eps]
        for eps in radii:
            yield {
                **accuracy_row(self.right(eps), self.table["image_id"].to_pylist()),
                **self.cell,
                "eps": eps,
                "forwards": round(float(self._column("forwards").mean()), 4),
                "backwards": round(float(self._column("backwards").mean()), 4),
                "psnr": _mean(self._column("psnr")),
                "ssim": _mean(self._column("ssim")),
                "batch_dependent": bool(self._column("batch_dependent").any()),
                "errors": int(
                    (~pa.compute.is_null(self.table["error"]).to_numpy(zero_copy_only=False)).sum()
                ),
            }


def _mean(values: NDArray[Any]) -> float | None:
    finite = values[np.isfinite(values)]
    return round(float(finite.mean()), 4) if len(finite) else None


def accuracy_row(right: Bits, names: Sequence[str]) -> dict[str, Any]:
    """Return the columns that any accuracy row has, from its verdicts."""
    n, correct = len(right), int(right.sum())
    low, high = wilson(correct, n)
    return {
        "subset": "all",
        "n": n,
        "correct": correct,
        "accuracy": round(correct / n, 6),
        "ci_low": round(low, 6),
        "ci_high": round(high, 6),
        "ids_sha256": fingerprint(list(names[:n])),
        "verdicts": pack_bits(right),
    }


def add_conditional(rows: Sequence[dict[str, Any]], bare: Bits) -> None:
    """Add to each row its accuracy on the images that the undefended classifier gets right.

    Mustafa et al. (IEEE TIP 2020) report it as destruction rate.

    Args:
        rows: Accuracy rows; all cover a prefix of the images.
        bare: Whether the undefended classifier is right, `(n,)`.
    """
    for row in rows:
        n = min(row["n"], len(bare))
        base = bare[:n]
        count, right = int(base.sum()), unpack_bits(row["verdicts"], row["n"])[:n] & base
        row["conditional_n"] = count
        row["conditional_accuracy"] = round(int(right.sum()) / count, 6) if count else None


def worst_rows(cells: Sequence[CellRecords]) -> Iterator[dict[str, Any]]:
    """Yield the worst cases of one defense: gray box and adaptive, at each eps attacked.

    Gray box takes budget attacks; adaptive takes every rung, and minimal attacks within eps where
    the attacker knows the defense. There is nothing to know of `none`: its two are the same.
    """
    clean = next(cell for cell in cells if cell.kind == "clean")
    counted = [cell for cell in cells if cell.counted]
    gray = [c for c in counted if c.cell["rung"] == Rung.GRAY_BOX and c.kind == "budget"]
    known = [c for c in counted if c.cell["rung"] != Rung.GRAY_BOX]
    names = clean.table["image_id"].to_pylist()
    # A rung may have fewer images: adaptive rows cover those that met every cell, at any eps.
    common = min((len(cell.table) for cell in [*gray, *known]), default=0)
    for radius in sorted({eps for cell in [*gray, *known] for eps in cell.radii}):
        at_gray = [c.right(radius) for c in gray if radius in c.radii]
        at_known = [c.right(radius) for c in known if radius in c.radii]
        everything = worst_case([*at_gray, *at_known])[:common]
        shared = {**clean.cell, "goal": "", "attack": WORST, "eps": radius, "source": ""}
        used = {c.cell["settings"] for c in [*gray, *known] if radius in c.radii}
        shared |= {
            "target": counted[0].cell["target"],
            "settings": fingerprint(clean.cell["settings"], sorted(used)),
        }
        undefended = clean.cell["defense"] == "none" and at_known
        if at_gray:
            right = everything if undefended else worst_case(at_gray)
            yield {**accuracy_row(right, names), **shared, "rung": str(Rung.GRAY_BOX)}
        if at_known:
            smallest = _smallest_eps(clean, [*gray, *known], len(everything))
            row = {**accuracy_row(everything, names), **shared, "rung": ADAPTIVE}
            yield {**row, "smallest_eps": pack_floats(smallest)}


def _smallest_eps(clean: CellRecords, cells: Sequence[CellRecords], n: int) -> NDArray[np.float64]:
    """Return the smallest eps that breaks each image: 0 if wrong when clean, inf if none does."""
    smallest = np.full(n, np.inf)
    for cell in cells:
        broken = ~cell.right(max(cell.eps))[:n]
        at = cell.distance[:n] if cell.kind == "minimal" else np.full(n, cell.cell["eps"])
        smallest = np.where(broken, np.minimum(smallest, at), smallest)
    return np.where(clean.right(None)[:n], smallest, 0.0)
