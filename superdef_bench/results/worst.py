"""Worst cases of a defense over rungs and attacks: rows of their own, per eps."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superdef_bench.core.fingerprint import fingerprint
from superdef_bench.core.threats import (
    ADAPTIVE,
    CLEAN,
    RUNGS,
    STANDING,
    UNDEFENDED,
    WORST,
    AttackKind,
    Rung,
)
from superdef_bench.results.aggregate import CellRecords, accuracy_row, over_draws
from superdef_bench.results.statistics import Bits, Counts, pack_floats, worst_case


def worst_rows(cells: Sequence[CellRecords]) -> Iterator[dict[str, Any]]:
    """Yield the worst cases of one defense: gray box and adaptive, at each eps attacked.

    Gray box takes budget attacks; adaptive takes every rung, and minimal attacks within eps where
    they were not made elsewhere. There is nothing to know of `none`: its two are the same, and
    what was made on another network is no part of them.
    """
    clean = next(cell for cell in cells if cell.kind == CLEAN)
    undefended = clean.cell["defense"] == UNDEFENDED
    counted = [c for c in cells if c.counted and not (c.replayed and c.kind == AttackKind.MINIMAL)]
    gray = [c for c in counted if c.cell["rung"] == Rung.GRAY_BOX]
    others = [c for c in counted if c.replayed and c not in gray and not undefended]
    known = [c for c in counted if not c.replayed]
    everything = sorted([*gray, *others, *known], key=_by_knowledge)
    names = clean.table["image_id"].to_pylist()
    # A rung may have fewer images: adaptive rows cover those that met every cell, at any eps.
    common = min((len(cell.table) for cell in everything), default=0)
    radii = sorted({eps for cell in everything for eps in cell.radii})
    for radius in radii:
        # A larger ball has the examples of the smaller ones in it.
        met = [c for c in everything if min(c.radii) <= radius]
        at_gray = [c for c in met if c in gray]
        shared = {**clean.cell, "goal": "", "attack": WORST, "eps": radius, "source": ""}
        shared |= {
            "target": counted[0].cell["target"],
            "settings": fingerprint(
                clean.cell["settings"], sorted({c.cell["settings"] for c in met})
            ),
        }
        adaptive = any(c in known for c in met)
        if at_gray:
            both = undefended and adaptive
            row = _row(met if both else at_gray, radius, names, common if both else None)
            yield {**row, **shared, "rung": str(Rung.GRAY_BOX)}
        if adaptive:
            row = {**_row(met, radius, names, common), **shared, "rung": ADAPTIVE}
            smallest = pack_floats(_smallest_eps(clean, everything, common))
            broken_by = _broken_by(clean, met, radius, common)
            yield {**row, "smallest_eps": smallest, "broken_by": broken_by}


def _reach(cell: CellRecords, eps: float) -> float:
    """Return the radius at which a cell is read: its own last one in a larger ball."""
    return min(eps, max(cell.radii))


def _right(cell: CellRecords, eps: float) -> Bits:
    return cell.right(_reach(cell, eps))


def _by_knowledge(cell: CellRecords) -> int:
    return RUNGS.index(Rung(cell.cell["rung"]))


def _row(
    cells: Sequence[CellRecords], eps: float, names: Sequence[str], n: int | None
) -> dict[str, Any]:
    n = min(len(cell.table) for cell in cells) if n is None else n
    right = worst_case([_right(cell, eps) for cell in cells])[:n]
    row = accuracy_row(right, names)
    if cells[0].draws > 1:
        shares: Counts = np.minimum.reduce([cell.shares(_reach(cell, eps))[:n] for cell in cells])
        row |= over_draws(shares, cells[0].draws)
    knowing = [cell for cell in cells if cell.knows_top5]
    if knowing:
        top5 = worst_case([cell.top5[:n] for cell in knowing])
        row["top5_accuracy"] = round(float(top5.mean()), 6)
    return row


def _broken_by(
    clean: CellRecords, cells: Sequence[CellRecords], eps: float, n: int
) -> dict[str, int]:
    """Return how many images each attack broke first, going up the rungs by knowledge."""
    standing = clean.right(None)[:n]
    found = {CLEAN: int((~standing).sum())}
    for cell in cells:
        broken = standing & ~_right(cell, eps)[:n]
        name = f"{cell.cell['rung']} {cell.cell['attack']}"
        found[name] = found.get(name, 0) + int(broken.sum())
        standing = standing & ~broken
    return {**found, STANDING: int(standing.sum())}


def _smallest_eps(clean: CellRecords, cells: Sequence[CellRecords], n: int) -> NDArray[np.float64]:
    """Return the smallest eps that breaks each image: 0 if wrong when clean, inf if none does."""
    smallest = np.full(n, np.inf)
    for cell in cells:
        broken = ~cell.right(max(cell.radii))[:n]
        at = np.full(n, cell.cell["eps"] or 0.0)
        if cell.kind == AttackKind.MINIMAL:
            at = cell.distance[:n]
            for eps in sorted(cell.radii, reverse=True):
                # Within the tolerance of a ball is inside it.
                at = np.where(~cell.right(eps)[:n], np.minimum(at, eps), at)
        smallest = np.where(broken, np.minimum(smallest, at), smallest)
    return np.where(clean.right(None)[:n], smallest, 0.0)
