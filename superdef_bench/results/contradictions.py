"""Numbers of a results file that follow from others in it: worst cases and means."""

import math
from collections.abc import Iterator
from typing import cast

import numpy as np

from superdef_bench.core.threats import ADAPTIVE, UNDEFENDED, AttackKind, Norm, Rung, Threat
from superdef_bench.results.ranking import conditional
from superdef_bench.results.rows import shares, smallest_eps, verdicts
from superdef_bench.results.schema import AccuracyRow, Results
from superdef_bench.results.statistics import unpack_counts, worst_case
from superdef_bench.results.text import eps_text

_ROUNDING = 2e-6


def contradictions(results: Results) -> Iterator[tuple[int, str]]:
    """Yield rows, counted from 1, that say another thing than the rows they come from.

    Each accuracy is the mean of its verdicts or draws; a worst case has an image right where
    every counted attack of its rungs, up to its eps, left it right.
    """
    bare = results.clean()
    for number, row in enumerate(results.accuracy, 1):
        means: dict[str, float | None] = {"accuracy": float(shares(row).mean())}
        if bare is not None:
            means["conditional_accuracy"] = conditional(results, row, None)
        for column, mean in means.items():
            stored = getattr(row, column)
            if not _near(stored, mean):
                said = "nothing" if mean is None else f"{mean:.6f}"
                yield number, f"{column} is {stored}, its verdicts say {said}"
        if row.smallest_eps is not None and (why := _smallest(results, row)):
            yield number, why
        if _checked(row):
            why = _derived(results, row)
            if why:
                yield number, why


def _smallest(results: Results, row: AccuracyRow) -> str:
    """Return on how many images the smallest eps and the verdict of a row disagree, if any.

    What is wrong without attack has the smallest eps 0, and an attack may make it right again.
    """
    clean = results.clean(row.defense)
    if clean is None or row.eps is None:
        return ""
    n = min(row.n, clean.n)
    broken = smallest_eps(row)[:n] <= Threat(cast(Norm, row.norm), row.eps).limit
    differ = int((verdicts(clean)[:n] & (broken == verdicts(row)[:n])).sum())
    return f"smallest_eps says other than {differ} of {n} verdicts" if differ else ""


def derived(results: Results) -> int:
    """Return how many worst cases can be held against their cells."""
    return sum(map(_checked, results.accuracy))


def _checked(row: AccuracyRow) -> bool:
    # Files without eot are older than the rule that a larger ball has the smaller ones in it.
    return row.worst and row.eot is not None


def _near(stored: float | None, mean: float | None) -> bool:
    if stored is None or mean is None:
        return stored is mean
    return math.isclose(stored, mean, abs_tol=_ROUNDING)


def _derived(results: Results, row: AccuracyRow) -> str:
    """Return in what a worst case differs from its cells, or nothing."""
    cells = [(cell, cell.eps) for cell in _counted(results, row) if cell.eps is not None]
    met = [cell for cell, eps in cells if row.eps is not None and eps <= row.eps]
    if not met:
        return f"no counted attack up to {eps_text(row.eps)} is in the file"
    n = min(cell.n for cell in ([cell for cell, _ in cells] if row.rung == ADAPTIVE else met))
    if n != row.n:
        return f"n is {row.n}, its cells have {n}"
    right = worst_case([verdicts(cell) for cell in met])[:n]
    differ = int((right != verdicts(row)).sum())
    if row.shares is not None and any(cell.shares is None for cell in met):
        return "it has shares of draws, and a cell of it has none"
    if not differ and row.shares is not None:
        least = np.minimum.reduce([unpack_counts(cell.shares or "")[:n] for cell in met])
        differ = int((least != unpack_counts(row.shares)).sum())
    return f"{differ} of {n} verdicts are not those of its cells" if differ else ""


def _counted(results: Results, row: AccuracyRow) -> Iterator[AccuracyRow]:
    """Yield the rows that a worst case of a defense is over."""
    own = [(cell, cell.attacked) for cell in results.rows(defense=row.defense)]
    cells = [(cell, rung) for cell, rung in own if rung is not None and not cell.worst]
    known = {cell.attack for cell, rung in cells if not rung.replays}
    undefended = row.defense == UNDEFENDED
    adaptive = row.rung == ADAPTIVE or (undefended and bool(known))
    longest: dict[tuple[str, float | None, str], AccuracyRow] = {}
    for cell, rung in cells:
        attack, gray = results.attacks[cell.attack], rung is Rung.GRAY_BOX
        minimal = attack.kind == AttackKind.MINIMAL
        if not attack.counted or not (gray or adaptive):
            continue
        if not undefended:
            if not (minimal and rung.replays):
                yield cell
        elif not rung.replays or (gray and (not minimal or cell.attack in known)):
            # Rungs of one goal show the same records, some of them fewer.
            place = cell.attack, cell.eps, cell.goal
            if place not in longest or longest[place].n < cell.n:
                longest[place] = cell
    yield from longest.values()
