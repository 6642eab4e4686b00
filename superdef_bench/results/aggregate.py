"""Records to accuracy rows: one per cell and eps, and worst cases over them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from superdef_bench.core.fingerprint import fingerprint
from superdef_bench.core.threats import RUNGS, AttackKind, Rung, Threat
from superdef_bench.results.statistics import (
    Bits,
    Counts,
    mean_interval,
    pack_bits,
    pack_counts,
    pack_integers,
    unpack_bits,
    unpack_counts,
    wilson,
)

_TOP = 5
PROBE = "probe"  # kind of a cell that probes a gradient

COLUMNS = (
    "cell",
    "position",
    "image_id",
    "success",
    "bits",
    "label_rank",
    "first_step",
    "linf",
    "l2",
    "forwards",
    "backwards",
    "psnr",
    "ssim",
    "seconds",
    "batch_dependent",
    "error",
)


@dataclass(frozen=True, eq=False)
class CellRecords:
    """The records of one cell, in the dataset's order, and what the cell is.

    Attributes:
        cell: Columns that all its rows share.
        kind: Of the attack: `budget`, `minimal` or `corruption`; `clean` without one, `probe`
            for what probes a gradient.
        counted: Whether it takes part in worst cases.
        eps: Radii of the attack; a cell without a ball is read at each.
        clean: Of the defense, the same as `shares`.
        limit: Images that its rows cover, for the undefended classifier under a rung with fewer;
            worst cases take all.
        classes: Classes of the dataset.
        spent: Seconds per image to have its records: attack, smaller eps, clean and own scores.
        made: Images whose examples are made to be replayed.
        shard: Images that run together; examples to replay are made by whole shards.
    """

    cell: Mapping[str, Any]
    kind: str
    counted: bool
    eps: Sequence[float]
    table: pa.Table
    clean: Counts | None = None
    limit: int | None = None
    classes: int = 0
    spent: float = 0.0
    made: int = 0
    shard: int = 1

    def right(self, eps: float | None) -> Bits:
        """Return which images are right; without a ball, broken only within `eps` if given."""
        return 2 * self.shares(eps).astype(np.int64) >= self.draws

    def shares(self, eps: float | None) -> Counts:
        """Return how many draws are right per image, as `right` counts them."""
        right: Counts = np.array([b.count("0") for b in self._column("bits")], dtype=np.uint8)
        if self.kind == AttackKind.MINIMAL and eps is not None:
            near = self.distance <= Threat(self.cell["norm"], eps).limit
            # Too far away the attacker is left with the clean image.
            clean = np.full_like(right, self.draws) if self.clean is None else self.clean
            right = np.where(near, right, clean[: len(near)])
        return right

    @property
    def draws(self) -> int:
        return int(self.cell["draws"])

    @property
    def replayed(self) -> bool:
        rung = self.cell["rung"]
        return rung in RUNGS and Rung(rung).replays

    @property
    def radii(self) -> Sequence[float]:
        """Radii at which the cell gives a verdict."""
        return self.eps if self.kind == AttackKind.MINIMAL else [self.cell["eps"]]

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
        if self.kind == AttackKind.MINIMAL:
            # A replay without a ball says how many of the smallest perturbations are undone.
            radii = [*([None] if self.replayed else []), *self.eps]
        for eps in radii:
            names = self.table["image_id"].to_pylist()
            yield {
                **accuracy_row(self.right(eps), names),
                **over_draws(self.shares(eps), self.draws),
                **self._known(),
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
                "seconds": round(self.spent * self._images, 3),
                **({"outside": outside} if (outside := self._outside(eps)) else {}),
            }

    def _outside(self, eps: float | None) -> int:
        """Return how many scored examples rounding carried out of the ball."""
        if self.kind != AttackKind.BUDGET:
            return 0
        return int((self.distance > Threat(self.cell["norm"], eps).limit).sum())

    @property
    def _images(self) -> int:
        """Images to run for these records."""
        n = len(self.table)
        return max(n, min(self.made, -(-n // self.shard) * self.shard))

    def _known(self) -> dict[str, Any]:
        """Return when the attack succeeded, where it knew of that, and the top-5 accuracy."""
        known: dict[str, Any] = {}
        if self.kind in (AttackKind.BUDGET, AttackKind.MINIMAL) and not self.replayed:
            known["first_steps"] = pack_integers(self._column("first_step"))
        if self.knows_top5:
            known["top5_accuracy"] = round(float(self.top5.mean()), 6)
        return known

    @property
    def knows_top5(self) -> bool:
        # A minimal example may be out of the ball that a row is about.
        return self.kind not in (PROBE, AttackKind.MINIMAL) and self.classes > _TOP

    @property
    def top5(self) -> Bits:
        """Which images have their label among the five highest logits."""
        return self._column("label_rank") < _TOP


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


def over_draws(shares: Counts, draws: int) -> dict[str, Any]:
    """Return the columns that a random defense has instead: means over draws."""
    if draws == 1:
        return {}
    means = shares / draws
    low, high = mean_interval(means)
    return {
        "accuracy": round(float(means.mean()), 6),
        "ci_low": round(low, 6),
        "ci_high": round(high, 6),
        "shares": pack_counts(shares),
    }


def add_conditional(rows: Sequence[dict[str, Any]], bare: Bits | None) -> None:
    """Add to each row its accuracy on the images that the undefended classifier gets right.

    Mustafa et al. (IEEE TIP 2020) report it as destruction rate.

    Args:
        rows: Accuracy rows; all cover a prefix of the images.
        bare: Whether the undefended classifier is right, `(n,)`; None where nobody knows.
    """
    for row in rows:
        if bare is None:
            row |= {"conditional_n": None, "conditional_accuracy": None}
            continue
        n = min(row["n"], len(bare))
        base = bare[:n]
        right = unpack_bits(row["verdicts"], row["n"]).astype(np.float64)
        if "shares" in row:
            right = unpack_counts(row["shares"]) / row["draws"]
        row["conditional_n"] = int(base.sum())
        mean = float(right[:n][base].mean()) if base.any() else None
        row["conditional_accuracy"] = None if mean is None else round(mean, 6)
