"""Two rows of one leaderboard on the same images. No torch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from superdef_bench.core.threats import ADAPTIVE, NO_ATTACK
from superdef_bench.results.ranking import unranked_because
from superdef_bench.results.rows import (
    is_drawn,
    verdicts,
    words_of,
)
from superdef_bench.results.schema import Results
from superdef_bench.results.statistics import holm, mcnemar, ratio_interval
from superdef_bench.results.table import Table, plain_lines, to_markdown
from superdef_bench.results.text import escape, percent

CORRECTED = "p (Holm)"


@dataclass(frozen=True)
class Comparison:
    """Two paired accuracies.

    Attributes:
        what: Rung, attack and eps, in words.
        n: Images that both rows have.
        first: Accuracy of the one row.
        second: Accuracy of the other.
        ratio: First over second; None where the second is 0.
        interval: 95 % interval of the ratio, by a paired bootstrap over images; None where a row
            gets too few right.
        p: Of McNemar's exact test.
        adjusted: The same after Holm's correction over all that is compared at once.
    """

    what: str
    n: int
    first: float
    second: float
    ratio: float | None
    interval: tuple[float, float] | None
    p: float
    adjusted: float


def compare_all(
    results: Results, first: str, others: Sequence[str], *, attacks: bool = False
) -> dict[str, list[Comparison]]:
    """Return one row against each of others, p corrected over all of their accuracies."""
    found = {name: list(compare_rows(results, first, name, attacks=attacks)) for name in others}
    adjusted = iter(holm([row.p for rows in found.values() for row in rows]))
    return {
        name: [replace(row, adjusted=next(adjusted)) for row in rows]
        for name, rows in found.items()
    }


def compare_rows(
    results: Results, first: str, second: str, *, attacks: bool = False
) -> Iterator[Comparison]:
    """Yield the accuracies that two rows share: clean and worst cases, if asked each attack.

    There is no adaptive one where a row is not ranked: it did not face what the others did, or its
    gradient is not to be trusted. Of several draws the majority counts. Each p is that of its own
    test, as if nothing else was asked.

    Args:
        results: A leaderboard's.
        first: Name of a row.
        second: Name of the other.
        attacks: Yield each attack under each rung too.
    """
    theirs = {row.place: row for row in results.rows(defense=second)}
    incomplete = bool(why_not(results, first, second))
    for row in results.rows(defense=first):
        other = theirs.get(row.place)
        wanted = row.attack == NO_ATTACK or row.worst or (attacks and not row.probe)
        if other is None or not wanted or (incomplete and row.rung == ADAPTIVE):
            continue
        n = min(row.n, other.n)
        a, b = verdicts(row)[:n], verdicts(other)[:n]
        p = mcnemar(a, b)
        yield Comparison(
            what=words_of(row)
            + (", majority of draws" if is_drawn(row) or is_drawn(other) else ""),
            n=n,
            first=float(a.mean()),
            second=float(b.mean()),
            ratio=float(a.mean() / b.mean()) if b.any() else None,
            interval=ratio_interval(a, b),
            p=p,
            adjusted=p,
        )


def why_not(results: Results, *names: str) -> list[str]:
    """Return why the adaptive accuracies of rows are not to be compared."""
    found = []
    for name in names:
        facts = results.defenses[name]
        found += [f"{name} is not ranked: {reason}" for reason in unranked_because(facts)[:1]]
    return found


def comparison_table(title: str, names: Sequence[str], rows: Iterable[Comparison]) -> Table:
    """Return comparisons as a table: n, accuracies in percent, ratio, its interval, p."""
    head = ["images", "n", *names, "ratio", "95 %", CORRECTED]
    return Table("versus", title, head, plain_lines([_words(row) for row in rows]))


def _words(row: Comparison) -> list[str]:
    return [
        row.what,
        str(row.n),
        percent(row.first),
        percent(row.second),
        "–" if row.ratio is None else f"{row.ratio:.3f}",
        "–" if row.interval is None else "{:.3f}–{:.3f}".format(*row.interval),
        f"{row.adjusted:.2g}",
    ]


def in_markdown(first: str, found: Mapping[str, Sequence[Comparison]], notes: Sequence[str]) -> str:
    """Return one row against others as a Markdown table, notes beneath it."""
    other = next(iter(found)) if len(found) == 1 else "the other"
    head = ["against", "images", "n", first, other, "ratio", "95 %", CORRECTED]
    rows = [[name, *_words(row)] for name, each in found.items() for row in each]
    table = to_markdown(Table("versus", "", head, plain_lines(rows)))
    return "\n".join([*table, *(f"- {escape(note)}" for note in notes)])
