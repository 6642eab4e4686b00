"""Tables of a benchmark: ranking, every attack, cost. No torch."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from superdef_bench.formats import RUNG_TITLES, eps_text, percent, with_interval
from superdef_bench.masking import PROBES
from superdef_bench.notes import doubts, masking_verdict, transfer_mark
from superdef_bench.ranking import SOURCED, Score, Standing
from superdef_bench.results import Results, Row
from superdef_bench.site.html import Html, element, join
from superdef_bench.site.tables import Cell, Line, Table

_UNRANKED = "unranked rows"
_COUNTS = {"params": "parameters", "gmac": "GMAC"}
_MEASURED = {
    "ops": "operations",
    "bytes": "bytes",
    "throughput": "images per second",
    "memory": "memory (bytes)",
}
_LATENCIES = ("p10", "p50", "p90", "p99")


def _name(results: Results, defense: str) -> str:
    doubt = doubts(results, defense)
    return (
        join([defense, Html(" "), element("strong", doubt, class_="doubt")]) if doubt else defense
    )


def score_cell(value: Score | None, prefix: str = "", mark: str = "") -> Cell:
    """Return an accuracy with its interval, sorted by it."""
    if value is None:
        return Cell("–")
    return Cell(with_interval(value, prefix) + mark, value.accuracy)


def _share(value: float | None) -> Cell:
    return Cell(percent(value), value)


def ranking_table(results: Results, standings: Sequence[Standing]) -> Table:
    """Return the ranking at the last eps, unranked rows below."""
    last = eps_text(results.document["threat"]["eps"][-1])
    head = ["defense", "rank", "clean", "gray box", "adaptive", "illusion gap", "like for like"]
    head += ["median eps", "masking", "n"]
    lines = []
    for s in standings:
        fall = f"{percent(s.like_for_like[0])} ({s.like_for_like[1]})" if s.like_for_like else "–"
        n = s.adaptive.n if s.adaptive else s.clean.n if s.clean else 0
        beyond = Cell(f"> {last}", float("1e9")) if s.adaptive else Cell("–")
        cells = [
            Cell(_name(results, s.defense)),
            Cell("–" if s.rank is None else str(s.rank), s.rank),
            score_cell(s.clean),
            score_cell(s.gray, mark=transfer_mark(results, s.defense)),
            score_cell(s.adaptive, "≤ "),
            _share(s.illusion),
            Cell(fall, s.like_for_like[0] if s.like_for_like else None),
            beyond if s.median_eps is None else Cell(eps_text(s.median_eps), s.median_eps),
            Cell(masking_verdict(results, s.defense) or "–"),
            Cell(str(n), n),
        ]
        lines.append(Line(cells, hideable=_UNRANKED if s.rank is None else ""))
    caption = "Defenses by adaptive accuracy: what is left when the attacker knows them."
    return Table("order", caption, head, lines, hide=_UNRANKED)


def attacks_table(results: Results, standings: Sequence[Standing]) -> Table:
    """Return every accuracy row but probes, a line each."""
    rows = [
        row for s in standings for row in results.rows(defense=s.defense) if row["rung"] != PROBES
    ]
    unranked = {s.defense for s in standings if s.rank is None}
    sourced = any(row["rung"] in SOURCED for row in rows)
    head = ["defense", "rung", "attack", *(["source"] if sourced else []), "eps", "accuracy"]
    head += ["of right", "n", "forwards", "backwards", "PSNR", "SSIM"]
    lines = [
        Line(
            [*_attack_cells(results, row, sourced=sourced)],
            {"rung": _rung(row), "attack": row["attack"], "eps": _eps(row)},
            hideable=_UNRANKED if row["defense"] in unranked else "",
        )
        for row in rows
    ]
    caption = (
        "Accuracy in percent under each attack; worst: nothing of the rung broke the image. Of "
        "right: of those that the undefended classifier gets right. Forwards, backwards: "
        "mean per image. PSNR, SSIM: of what the classifier saw, against the clean image."
    )
    return Table("every", caption, head, lines, hide=_UNRANKED)


def _attack_cells(results: Results, row: Row, *, sourced: bool) -> Iterable[Cell]:
    known = row["rung"] not in ("", "gray_box", *SOURCED)
    mark = transfer_mark(results, row["defense"]) if row["rung"] == "gray_box" else ""
    low, high = 100 * row["ci_low"], 100 * row["ci_high"]
    yield Cell(_name(results, row["defense"]))
    yield Cell(_rung(row))
    yield Cell(str(row["attack"]))
    if sourced:
        yield Cell(str(row["source"]) if row["rung"] in SOURCED else "–")
    yield Cell(_eps(row), row["eps"])
    accuracy = f"{'≤ ' if known else ''}{percent(row['accuracy'])} ({low:.0f}–{high:.0f}){mark}"
    yield Cell(accuracy, row["accuracy"])
    yield _share(row["conditional_accuracy"])
    yield Cell(str(row["n"]), row["n"])
    for key, digits in (("forwards", 0), ("backwards", 0), ("psnr", 1), ("ssim", 3)):
        yield _number(row.get(key), digits)


def _rung(row: Row) -> str:
    return RUNG_TITLES.get(row["rung"], row["rung"].capitalize() or "Clean")


def _eps(row: Row) -> str:
    return "–" if row["eps"] is None else eps_text(row["eps"])


def _number(value: float | None, digits: int) -> Cell:
    return Cell("–" if value is None else f"{value:,.{digits}f}", value)


def cost_table(results: Results) -> Table:
    """Return parameters, GMAC and whatever else was measured of one image."""
    rows: list[Mapping[str, Any]] = results.document["cost"]
    measured = [key for key in _MEASURED if any(row.get(key) is not None for row in rows)]
    timed = any(row.get("latency_ms") for row in rows)
    head = ["defense", "what", *_COUNTS.values(), *(_MEASURED[key] for key in measured)]
    head += [f"ms {name}" for name in _LATENCIES] if timed else []
    lines = []
    for row in rows:
        scope = "whole pipeline" if row["scope"] == "pipeline" else "defense alone"
        cells = [Cell(_name(results, row["defense"])), Cell(scope)]
        cells += [_number(row["params"], 0), _number(row["gmac"], 4)]
        cells += [_number(row.get(key), 0) for key in measured]
        times = row.get("latency_ms") or {}
        cells += [_number(times.get(name), 2) for name in _LATENCIES] if timed else []
        lines.append(Line(cells, {"what": scope}))
    return Table("costs", "What one image costs.", head, lines)
