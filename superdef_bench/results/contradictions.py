"""Numbers of a results file that follow from others in it: worst cases and means."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from superdef_bench.core.threats import ADAPTIVE, WORST, Rung
from superdef_bench.results.aggregate import add_conditional
from superdef_bench.results.rows import shares, verdicts
from superdef_bench.results.schema import Results, Row
from superdef_bench.results.statistics import unpack_counts, worst_case
from superdef_bench.results.text import eps_text

_ROUNDING = 2e-6
_REPLAYS = [str(rung) for rung in Rung if rung.replays]


def contradictions(results: Results) -> Iterator[tuple[int, str]]:
    """Yield rows, counted from 1, that say another thing than the rows they come from.

    Each accuracy is the mean of its verdicts or draws; a worst case has an image right where
    every counted attack of its rungs, up to its eps, left it right.
    """
    bare = results.row(defense="none", rung="", attack="none")
    for number, row in enumerate(results.accuracy, 1):
        means = {"accuracy": float(shares(row).mean())}
        if bare is not None:
            again = dict(row)
            add_conditional([again], verdicts(bare))
            means["conditional_accuracy"] = again["conditional_accuracy"]
        for column, mean in means.items():
            if not _near(row[column], mean):
                yield number, f"{column} is {row[column]}, its verdicts say {mean:.6f}"
        if _checked(row):
            why = _derived(results, row)
            if why:
                yield number, why


def derived(results: Results) -> int:
    """Return how many worst cases can be held against their cells."""
    return sum(map(_checked, results.accuracy))


def _checked(row: Row) -> bool:
    # Files without eot are older than the rule that a larger ball has the smaller ones in it.
    return row["attack"] == WORST and "eot" in row


def _near(told: float | None, mean: float | None) -> bool:
    if told is None or mean is None:
        return told is mean
    return math.isclose(told, mean, abs_tol=_ROUNDING)


def _derived(results: Results, row: Row) -> str:
    """Return in what a worst case differs from its cells, or nothing."""
    cells = [cell for cell in _counted(results, row) if cell["eps"] is not None]
    met = [cell for cell in cells if cell["eps"] <= row["eps"]]
    if not met:
        return f"no counted attack up to {eps_text(row['eps'])} is in the file"
    n = min(cell["n"] for cell in (cells if row["rung"] == ADAPTIVE else met))
    if n != row["n"]:
        return f"n is {row['n']}, its cells have {n}"
    right = worst_case([verdicts(cell) for cell in met])[:n]
    differ = int((right != verdicts(row)).sum())
    if not differ and "shares" in row:
        least = np.minimum.reduce([unpack_counts(cell["shares"])[:n] for cell in met])
        differ = int((least != unpack_counts(row["shares"])).sum())
    return f"{differ} of {n} verdicts are not those of its cells" if differ else ""


def _counted(results: Results, row: Row) -> Iterator[Row]:
    """Yield the rows that a worst case of a defense is over."""
    attacks: Mapping[str, Any] = results.document["attacks"]
    own = [
        cell
        for cell in results.rows(defense=row["defense"])
        if cell["rung"] in list(Rung) and cell["attack"] != WORST
    ]
    known = {r["attack"] for r in own if r["rung"] not in _REPLAYS}
    undefended = row["defense"] == "none"
    adaptive = row["rung"] == ADAPTIVE or (undefended and bool(known))
    longest: dict[tuple[str, float | None], Row] = {}
    for cell in own:
        facts, gray = attacks[cell["attack"]], cell["rung"] == Rung.GRAY_BOX
        minimal = facts["kind"] == "minimal"
        if not facts["counted"] or not (gray or adaptive):
            continue
        if not undefended:
            if not (minimal and cell["rung"] in _REPLAYS):
                yield cell
        elif cell["rung"] not in _REPLAYS or (gray and (not minimal or cell["attack"] in known)):
            # Its rungs show the same records, some of them fewer.
            place = cell["attack"], cell["eps"]
            if place not in longest or longest[place]["n"] < cell["n"]:
                longest[place] = cell
    yield from longest.values()
