"""Sections of a leaderboard: rung by rung, broken first, draws, top-5, cost. No torch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from superdef_bench.core.threats import RUNG_TITLES, SOURCED
from superdef_bench.leaderboard.notes import row_name, transfer_mark
from superdef_bench.leaderboard.pareto import PARETO, has_pareto
from superdef_bench.results.ranking import Standing
from superdef_bench.results.rows import score, shares, verdicts, with_interval
from superdef_bench.results.schema import Results, Row
from superdef_bench.results.text import eps_text, escape, grid, link, percent, three_digits

_NO_BALL = (
    " No ball: the smallest example found, at whatever distance; with an eps, it counts as broken "
    "only within that. As made: a corruption at its severity."
)
_LEADS = {
    "transfer": "The attacker has other classifiers, and replays what fools those.",
    "gray_box": "The attacker has the bare classifier, and replays what fools it.",
    "surrogate": "The attacker has another defense before the classifier, and replays what fools "
    "the two.",
    "black_box": "The attacker can ask the whole defense, and sees its answers but no gradient.",
    "white_box": "The attacker has everything, and exact gradients through the defense.",
    "bpda": "The attacker has everything, and on the way back passes around or approximates each "
    "stage.",
}
_STANDING = "standing"


@dataclass(frozen=True)
class _Column:
    """What the rows of one column of a rung share.

    Attributes:
        source: What the examples were made on; empty where a rung has one source.
    """

    rung: str
    attack: str
    eps: float | None
    source: str

    @classmethod
    def of(cls, row: Row) -> "_Column":
        source = str(row["source"]) if row["rung"] in SOURCED else ""
        return cls(row["rung"], row["attack"], row["eps"], source)


def by_attack(results: Results, standings: Sequence[Standing]) -> Iterator[str]:
    """Yield accuracy and effort of each attack, a section per rung."""
    for rung, title in RUNG_TITLES.items():
        columns = _columns(results, rung)
        if not columns:
            continue
        yield f"## {title}, by attack"
        yield ""
        yield _LEADS[rung]
        yield ""
        yield from _attack_grid(results, standings, columns, lambda row: _accuracy(results, row))
        yield (
            "In brackets: of the images that the undefended classifier gets right, among all of "
            f"the cell ({_cell_sizes(results, rung)})."
            + (_NO_BALL if None in {column.eps for column in columns} else "")
        )
        yield ""
        yield from _effort(results, standings, columns)


def _cell_sizes(results: Results, rung: str) -> str:
    """Return how many images the cells of a rung have."""
    found = {row["n"] for row in results.rows(rung=rung) if row["attack"] != "worst"}
    return f"n = {' or '.join(map(str, sorted(found)))}"


def _columns(results: Results, rung: str) -> list[_Column]:
    """Return the attacks, sources and radii that have rows in a rung."""
    found = {_Column.of(row) for row in results.rows(rung=rung) if row["attack"] != "worst"}
    order = list(results.document["attacks"])
    return sorted(found, key=lambda c: (order.index(c.attack), c.source, c.eps or 0.0))


def _accuracy(results: Results, row: Row) -> str:
    return f"{percent(row['accuracy'])} ({percent(row['conditional_accuracy'])})"


def _effort(
    results: Results, standings: Sequence[Standing], columns: Sequence[_Column]
) -> Iterator[str]:
    rung = columns[0].rung
    timed = any("seconds" in row for column in columns for row in _rows(results, column))
    passes = "Queries" if rung == "black_box" else "Forwards / backwards"
    unit = f"{passes}{' / seconds' if timed else ''} per image:"
    if rung in SOURCED:
        yield f"Made once on each source. {unit}"
        yield ""
        made = [next(_rows(results, column)) for column in columns]
        heads = [_head(results, column, _most(results, column)) for column in columns]
        yield from grid(["", *heads], [["examples", *map(_passes, made)]])
        return
    if rung == "gray_box":
        yield f"Made once on the bare classifier. {unit}"
        standings = [standing for standing in standings if standing.defense == "none"]
    else:
        yield unit
    yield ""
    show = _queries if rung == "black_box" else _passes
    yield from _attack_grid(results, standings, columns, show)


def _passes(row: Row) -> str:
    return f"{row['forwards']:.0f} / {row['backwards']:.0f}{_seconds(row)}"


def _queries(row: Row) -> str:
    return f"{row['forwards']:.0f}{_seconds(row)}"


def _seconds(row: Row) -> str:
    return f" / {row['seconds'] / max(row['n'], 1):.2g}" if "seconds" in row else ""


def _rows(results: Results, column: _Column) -> Iterator[Row]:
    for row in results.rows(rung=column.rung, attack=column.attack, eps=column.eps):
        if _Column.of(row) == column:
            yield row


def _most(results: Results, column: _Column) -> int:
    return max(row["n"] for row in _rows(results, column))


def _head(results: Results, column: _Column, most: int) -> str:
    facts = results.document["attacks"][column.attack]
    limited = "" if most == results.document["dataset"]["images"] else f", n = {most}"
    norm = "" if facts["norm"] == results.document["threat"]["norm"] else f"{facts['norm']} "
    ball = f"{norm}{eps_text(column.eps)}" if facts["kind"] != "corruption" else "as made"
    source = f" from {escape(column.source)}" if column.source else ""
    return f"{escape(column.attack)} {ball}{source}{limited}"


def _attack_grid(
    results: Results,
    standings: Sequence[Standing],
    columns: Sequence[_Column],
    show: Callable[[Row], str],
) -> Iterator[str]:
    cells = {column: {row["defense"]: row for row in _rows(results, column)} for column in columns}
    most = {column: _most(results, column) for column in columns}
    rows = []
    for s in standings:
        shown = [row_name(results, s.defense)]
        for column in columns:
            cell = cells[column].get(s.defense)
            mark = transfer_mark(results, s.defense) if column.rung == "gray_box" else ""
            few = f" (n = {cell['n']})" if cell and cell["n"] < most[column] else ""
            shown.append(show(cell) + mark + few if cell else "–")
        rows.append(shown)
    yield from grid(["defense", *(_head(results, c, most[c]) for c in columns)], rows)


def _worst(results: Results, defense: str, rung: str) -> Row | None:
    last = results.document["threat"]["eps"][-1]
    return results.row(defense=defense, rung=rung, attack="worst", eps=last)


def broken_first(results: Results, standings: Sequence[Standing]) -> Iterator[str]:
    """Yield how many images each rung broke that none before it had, where results say so."""
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for standing in standings:
        row = _worst(results, standing.defense, "adaptive")
        if row and row.get("broken_by"):
            counts[standing.defense] = _by_rung(row["broken_by"])
    if not counts:
        return
    known = ["clean", *RUNG_TITLES, _STANDING]
    rungs = [rung for rung in known if any(rung in found for found in counts.values())]
    yield f"## Broken first by, at eps {eps_text(results.document['threat']['eps'][-1])}"
    yield ""
    rows = []
    for name, found in counts.items():
        cells = [_count(found[rung]) if rung in found else "–" for rung in rungs]
        total = sum(sum(attacks.values()) for attacks in found.values())
        rows.append([row_name(results, name), *cells, str(total)])
    titles = [RUNG_TITLES.get(rung, rung).lower() for rung in rungs]
    titles = [title.replace("bpda", "BPDA") for title in titles]
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
        clean = results.row(defense=s.defense, rung="", attack="none")
        for what, row in (("clean", clean), ("adaptive", _worst(results, s.defense, "adaptive"))):
            if row and "shares" in row:
                rows.append([row_name(results, s.defense), what, *_drawn(row, s)])
    if not rows:
        return
    yield f"## Stochastic defenses, at eps {eps_text(results.document['threat']['eps'][-1])}"
    yield ""
    head = ["defense", "images", "mean over draws", "majority vote", "right in all draws"]
    yield from grid([*head, "draws", "n"], rows)
    yield (
        "Accuracy in percent. Mean over draws: with its 95 % bootstrap interval over images. What "
        "the columns of a clean row differ by is the noise floor: an attack has to do more."
    )
    yield ""


def _drawn(row: Row, standing: Standing) -> list[str]:
    n = standing.adaptive.n if standing.adaptive else None
    right = shares(row)[:n]
    sign = "≤ " if row["rung"] else ""
    return [
        with_interval(score(row, n), sign),
        sign + percent(float(verdicts(row)[:n].mean())),
        sign + percent(float((right == 1).mean())),
        str(row["draws"]),
        str(len(right)),
    ]


def top_five(results: Results, standings: Sequence[Standing]) -> Iterator[str]:
    """Yield top-5 accuracies, where results have them."""
    if not any("top5_accuracy" in row for row in results.accuracy):
        return
    last = eps_text(results.document["threat"]["eps"][-1])
    yield "## Top-5"
    yield ""
    rows = []
    for s in standings:
        found = [
            results.row(defense=s.defense, rung="", attack="none"),
            *(_worst(results, s.defense, rung) for rung in ("gray_box", "adaptive")),
        ]
        given = [row if row and "top5_accuracy" in row else None for row in found]
        cells = [percent(row["top5_accuracy"]) if row else "–" for row in given]
        gray = cells[1] + (transfer_mark(results, s.defense) if given[1] else "")
        known = f"≤ {cells[2]}" if given[2] else "–"
        counts = " / ".join(str(row["n"]) if row else "–" for row in given)
        rows.append([row_name(results, s.defense), cells[0], gray, known, counts])
    head = ["defense", "clean", f"gray box {last}", f"adaptive {last}"]
    yield from grid([*head, "n: clean / gray box / adaptive"], rows)
    yield "Share of images, in percent, whose label is among the five highest logits."
    yield ""


Costs = Mapping[tuple[str, str], Mapping[str, Any]]


def cost_section(results: Results, standings: Sequence[Standing]) -> Iterator[str]:
    """Yield counts and, where the results have them, times of each row."""
    costs: Costs = {(row["defense"], row["scope"]): row for row in results.document["cost"]}
    yield "## Cost of one image"
    yield ""
    yield from _counts(results, standings, costs)
    if any("latency_ms" in row for row in costs.values()):
        yield from _times(results, standings, costs)
    if has_pareto(results, standings):
        yield f"!{link('Accuracy against cost', results.name + PARETO)}"
        yield ""
        yield (
            "Adaptive and gray-box accuracy of each row against what its pipeline costs; on a "
            "frontier nothing that costs as little holds more."
        )
        yield ""


def _counts(results: Results, standings: Sequence[Standing], costs: Costs) -> Iterator[str]:
    counted = any("ops" in row for row in costs.values())
    head = ["defense"]
    for scope in ("own", "pipeline"):
        head += [f"{scope} parameters", f"{scope} GMAC"]
        head += [f"{scope} operations", f"{scope} MB"] if counted else []
    rows = []
    for s in standings:
        cells: list[str] = []
        for scope in ("defense", "pipeline"):
            cost = costs.get((s.defense, scope))
            cells += [f"{cost['params']:,}", f"{cost['gmac']:.4f}"] if cost else ["–", "–"]
            if counted:
                told = cost and "ops" in cost and [f"{cost['ops']:,}", f"{cost['bytes'] / 1e6:.2f}"]
                cells += told or ["–", "–"]
        rows.append([row_name(results, s.defense), *cells])
    yield from grid(head, rows)
    yield (
        "GMAC counts convolutions and matrix products as torch dispatches them; element-wise "
        "work, resizing and JPEG count 0."
        + (
            " Operations: what torch dispatches, views apart. MB: each operation reads its "
            "tensors and writes its results once."
            if counted
            else ""
        )
    )
    yield ""


def _times(results: Results, standings: Sequence[Standing], costs: Costs) -> Iterator[str]:
    # Other work on the machine lengthens many passes, the best tenth hardly.
    bare = costs.get(("none", "pipeline"), {}).get("latency_ms", {}).get("p10")
    rows = []
    for s in standings:
        own, whole = (costs.get((s.defense, scope), {}) for scope in ("defense", "pipeline"))
        if "latency_ms" not in whole:
            rows.append([row_name(results, s.defense), *["–"] * 6])
            continue
        times = whole["latency_ms"]
        rows.append(
            [
                row_name(results, s.defense),
                three_digits(own["latency_ms"]["p50"]),
                *(three_digits(times[name]) for name in ("p50", "p90", "p99")),
                f"{times['p10'] / bare:.2f}" if bare else "–",
                f"{whole['memory'] / 1e6:.1f}",
            ]
        )
    yield from grid(
        ["defense", "own ms", "pipeline ms", "p90", "p99", "ratio to none", "MB alive"], rows
    )
    yield (
        "Milliseconds of one image, median, on the machine above: all rows in turns, while "
        "whatever else it did went on. Ratio: of the p10 of both, which other work disturbs least; "
        "it is what can be compared. MB alive: most at once, weights among them."
    )
    yield ""
