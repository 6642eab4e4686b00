"""Sections of a leaderboard: rung by rung, broken first, draws, top-5, cost. No torch."""

from collections.abc import Iterator, Sequence

from superdef_bench.core.threats import ADAPTIVE, CLEAN, RUNGS, STANDING, Rung
from superdef_bench.leaderboard.notes import row_name, transfer_mark
from superdef_bench.leaderboard.pareto import PARETO, has_pareto
from superdef_bench.leaderboard.tables import rung_tables, times_table, work_table
from superdef_bench.results.ranking import Standing
from superdef_bench.results.rows import is_drawn, score, shares, verdicts, with_interval
from superdef_bench.results.schema import AccuracyRow, Results
from superdef_bench.results.table import Table, to_markdown
from superdef_bench.results.text import eps_text, escape, grid, link, percent

_NO_BALL = (
    " No ball: the smallest example found, at whatever distance; with an eps, it counts as broken "
    "only within that. As made: a corruption at its severity."
)
LEADS = {
    Rung.TRANSFER: "The attacker has other classifiers, and replays what fools those.",
    Rung.GRAY_BOX: "The attacker has the bare classifier, and replays what fools it.",
    Rung.SURROGATE: "The attacker has another defense before the classifier, and replays what "
    "fools the two.",
    Rung.BLACK_BOX: "The attacker can ask the whole defense, and sees its answers but no gradient.",
    Rung.WHITE_BOX: "The attacker has everything, and exact gradients through the defense.",
    Rung.BPDA: "The attacker has everything, and on the way back passes around or approximates "
    "each stage.",
}
_GMAC = (
    "GMAC counts convolutions and matrix products as torch dispatches them; element-wise "
    "work, resizing and JPEG count 0."
)
_OPERATIONS = (
    " Operations: what torch dispatches, views apart. MB: each operation reads its "
    "tensors and writes its results once."
)
_TIMES = (
    "Milliseconds of one image, median, on the machine above: all rows in turns, while "
    "whatever else it did went on. Ratio: of the p10 of both, which other work disturbs least; "
    "it is what can be compared. MB alive: most at once, weights among them."
)


def by_attack(results: Results, standings: Sequence[Standing]) -> Iterator[str]:
    """Yield accuracy and effort of each attack, a section per rung."""
    for tables in rung_tables(results, standings):
        yield f"## {tables.rung.title}, by attack"
        yield ""
        yield LEADS[tables.rung]
        yield ""
        yield from to_markdown(tables.accuracy)
        yield (
            "In brackets: of the images that the undefended classifier gets right, among all of "
            f"the cell ({tables.sizes})." + (_NO_BALL if tables.without_ball else "")
        )
        yield ""
        yield f"{tables.made} {tables.unit}".lstrip()
        yield ""
        yield from to_markdown(tables.effort)


def broken_first(results: Results, standings: Sequence[Standing]) -> Iterator[str]:
    """Yield how many images each rung broke that none before it had, where results say so."""
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for standing in standings:
        row = results.worst(standing.defense, ADAPTIVE)
        if row and row.broken_by:
            counts[standing.defense] = _by_rung(row.broken_by)
    if not counts:
        return
    known: list[str] = [CLEAN, *RUNGS, STANDING]
    rungs = [rung for rung in known if any(rung in found for found in counts.values())]
    yield f"## Broken first by, at eps {eps_text(results.last_eps)}"
    yield ""
    rows = []
    for name, found in counts.items():
        cells = [_count(found[rung]) if rung in found else "–" for rung in rungs]
        total = sum(sum(attacks.values()) for attacks in found.values())
        rows.append([row_name(results, name), *cells, str(total)])
    titles = [rung.replace("_", " ").replace("bpda", "BPDA") for rung in rungs]
    yield from grid(["defense", *titles, "n"], rows)
    yield (
        "Images by the first rung from the left that broke them, its attacks in brackets where "
        "there are several; –: a rung that does not count or apply. Clean: wrong without attack; "
        "standing: right under all."
    )
    yield ""


def _by_rung(broken_by: dict[str, int]) -> dict[str, dict[str, int]]:
    """Return counts by rung and attack."""
    found: dict[str, dict[str, int]] = {}
    for key, count in broken_by.items():
        rung, _, attack = key.partition(" ")
        found.setdefault(rung, {})[attack] = count
    return found


def _count(attacks: dict[str, int]) -> str:
    most = sorted(attacks.items(), key=lambda pair: -pair[1])
    named = ", ".join(f"{escape(attack)} {count}" for attack, count in most if count)
    several = f" ({named})" if sum(1 for _, count in most if count) > 1 else ""
    return f"{sum(attacks.values())}{several}"


def stochastic(results: Results, standings: Sequence[Standing]) -> Iterator[str]:
    """Yield what draws do to clean and adaptive accuracy, where there are several."""
    rows = []
    for s in standings:
        found = ((CLEAN, results.clean(s.defense)), (ADAPTIVE, results.worst(s.defense, ADAPTIVE)))
        for what, row in found:
            if row and is_drawn(row):
                rows.append([row_name(results, s.defense), what, *_drawn(row, s)])
    if not rows:
        return
    yield f"## Stochastic defenses, at eps {eps_text(results.last_eps)}"
    yield ""
    head = ["defense", "images", "mean over draws", "majority vote", "right in all draws"]
    yield from grid([*head, "draws", "n"], rows)
    yield (
        "Accuracy in percent. Mean over draws: with its 95 % bootstrap interval over images. What "
        "the columns of a clean row differ by is the noise floor: an attack has to do more."
    )
    yield ""


def _drawn(row: AccuracyRow, standing: Standing) -> list[str]:
    n = standing.adaptive.n if standing.adaptive else None
    right = shares(row)[:n]
    sign = "≤ " if row.rung else ""
    return [
        with_interval(score(row, n), sign),
        sign + percent(float(verdicts(row)[:n].mean())),
        sign + percent(float((right == 1).mean())),
        str(row.draws),
        str(len(right)),
    ]


def top_five(results: Results, standings: Sequence[Standing]) -> Iterator[str]:
    """Yield top-5 accuracies, where results have them."""
    if not any(row.top5_accuracy is not None for row in results.accuracy):
        return
    last = eps_text(results.last_eps)
    yield "## Top-5"
    yield ""
    rows = []
    for s in standings:
        found = [
            results.clean(s.defense),
            *(results.worst(s.defense, rung) for rung in (Rung.GRAY_BOX, ADAPTIVE)),
        ]
        given = [row if row and row.top5_accuracy is not None else None for row in found]
        cells = [percent(row.top5_accuracy) if row else "–" for row in given]
        gray = cells[1] + (transfer_mark(results, s.defense) if given[1] else "")
        known = f"≤ {cells[2]}" if given[2] else "–"
        counts = " / ".join(str(row.n) if row else "–" for row in given)
        rows.append([row_name(results, s.defense), cells[0], gray, known, counts])
    head = ["defense", "clean", f"gray box {last}", f"adaptive {last}"]
    yield from grid([*head, "n: clean / gray box / adaptive"], rows)
    yield "Share of images, in percent, whose label is among the five highest logits."
    yield ""


def work_note(work: Table) -> str:
    """Return what the columns of a work table count."""
    return _GMAC + (_OPERATIONS if "own operations" in work.head else "")


def times_note(results: Results) -> str:
    """Return what the columns of a times table are, and which rows have no times in it."""
    added = ", ".join(filter(results.is_added, results.defenses))
    return _TIMES + (f" Timed in a run of their own, not in turns: {added}." if added else "")


def cost_section(results: Results, standings: Sequence[Standing]) -> Iterator[str]:
    """Yield counts and, where the results have them, times of each row."""
    work, times = work_table(results, standings), times_table(results, standings)
    yield "## Cost of one image"
    yield ""
    yield from to_markdown(work)
    yield work_note(work)
    yield ""
    if times:
        yield from to_markdown(times)
        yield escape(times_note(results))
        yield ""
    if has_pareto(results, standings):
        yield f"!{link('Accuracy against cost', results.name + PARETO)}"
        yield ""
        yield (
            "Adaptive and gray-box accuracy of each row against what its pipeline costs; on a "
            "frontier nothing that costs as little holds more."
        )
        yield ""
