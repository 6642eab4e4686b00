"""The page of a benchmark. No torch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from superdef_bench.core.threats import PROBES, RUNG_TITLES, SOURCED
from superdef_bench.leaderboard.changes import KEY, told
from superdef_bench.leaderboard.index import suite
from superdef_bench.leaderboard.notes import (
    doubts,
    failures,
    masking_verdict,
    notes,
    stages,
    transfer_mark,
)
from superdef_bench.leaderboard.plots import drawn_in
from superdef_bench.leaderboard.publish import pictures
from superdef_bench.leaderboard.site.page import (
    Html,
    code,
    element,
    facts,
    inline,
    join,
    listed,
    page,
    section,
)
from superdef_bench.leaderboard.site.tables import Cell, Line, Table, render
from superdef_bench.results.ranking import Standing
from superdef_bench.results.rows import Score, with_interval
from superdef_bench.results.schema import AccuracyRow, Document, Results
from superdef_bench.results.text import eps_text, percent

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
    last = eps_text(results.last_eps)
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
    rows = [row for s in standings for row in results.rows(defense=s.defense) if row.rung != PROBES]
    unranked = {s.defense for s in standings if s.rank is None}
    sourced = any(row.rung in SOURCED for row in rows)
    head = ["defense", "rung", "attack", *(["source"] if sourced else []), "eps", "accuracy"]
    head += ["of right", "n", "forwards", "backwards", "PSNR", "SSIM"]
    lines = [
        Line(
            [*_attack_cells(results, row, sourced=sourced)],
            {"rung": _rung(row), "attack": row.attack, "eps": _eps(row)},
            hideable=_UNRANKED if row.defense in unranked else "",
        )
        for row in rows
    ]
    caption = (
        "Accuracy in percent under each attack; worst: nothing of the rung broke the image. Of "
        "right: of those that the undefended classifier gets right. Forwards, backwards: "
        "mean per image. PSNR, SSIM: of what the classifier saw, against the clean image."
    )
    return Table("every", caption, head, lines, hide=_UNRANKED)


def _attack_cells(results: Results, row: AccuracyRow, *, sourced: bool) -> Iterable[Cell]:
    known = row.rung not in ("", "gray_box", *SOURCED)
    mark = transfer_mark(results, row.defense) if row.rung == "gray_box" else ""
    low, high = 100 * row.ci_low, 100 * row.ci_high
    yield Cell(_name(results, row.defense))
    yield Cell(_rung(row))
    yield Cell(str(row.attack))
    if sourced:
        yield Cell(str(row.source) if row.rung in SOURCED else "–")
    yield Cell(_eps(row), row.eps)
    accuracy = f"{'≤ ' if known else ''}{percent(row.accuracy)} ({low:.0f}–{high:.0f}){mark}"
    yield Cell(accuracy, row.accuracy)
    yield _share(row.conditional_accuracy)
    yield Cell(str(row.n), row.n)
    for key, digits in (("forwards", 0), ("backwards", 0), ("psnr", 1), ("ssim", 3)):
        yield _number(row.get(key), digits)


def _rung(row: AccuracyRow) -> str:
    return RUNG_TITLES.get(row.rung, row.rung.capitalize() or "Clean")


def _eps(row: AccuracyRow) -> str:
    return "–" if row.eps is None else eps_text(row.eps)


def _number(value: float | None, digits: int) -> Cell:
    return Cell("–" if value is None else f"{value:,.{digits}f}", value)


def cost_table(results: Results) -> Table:
    """Return parameters, GMAC and whatever else was measured of one image."""
    rows: list[Mapping[str, Any]] = results.cost
    measured = [key for key in _MEASURED if any(row.get(key) is not None for row in rows)]
    timed = any(row.get("latency_ms") for row in rows)
    head = ["defense", "what", *_COUNTS.values(), *(_MEASURED[key] for key in measured)]
    head += [f"ms {name}" for name in _LATENCIES] if timed else []
    lines = []
    for row in rows:
        scope = "whole pipeline" if row.scope == "pipeline" else "defense alone"
        cells = [Cell(_name(results, row.defense)), Cell(scope)]
        cells += [_number(row.params, 0), _number(row.gmac, 4)]
        cells += [_number(row.get(key), 0) for key in measured]
        times = row.get("latency_ms") or {}
        cells += [_number(times.get(name), 2) for name in _LATENCIES] if timed else []
        lines.append(Line(cells, {"what": scope}))
    return Table("costs", "What one image costs.", head, lines)


def accuracy_page(results: Results, standings: Sequence[Standing], drawn: Path) -> bytes:
    """Return the page of a benchmark.

    Args:
        results: Of the benchmark.
        standings: Their ranking.
        drawn: Folder whose pictures need not be drawn again.
    """
    with drawn_in(drawn):
        shown = {
            suffix: inline(picture.draw(results, standings), f"p{place}", picture.title)
            for place, (suffix, picture) in enumerate(pictures(results, standings).items())
        }
    parts = {
        "ranking": (
            f"Ranking at eps {eps_text(results.document['threat']['eps'][-1])}",
            [render(ranking_table(results, standings)), _ranking_note()],
        ),
        "pictures": ("Pictures", list(shown.values())),
        "attacks": ("By attack", [render(attacks_table(results, standings))]),
        "masking": ("Gradient masking", list(_masking(results, standings))),
        "cost": ("Cost of one image", list(_cost(results))),
        "changes": ("Since the version before", list(changes_part(results))),
        "rows": ("Rows", [listed(f"{name}: {what}" for name, what in stages(results).items())]),
        "failures": ("Cells without a number", [listed(failures(results))]),
        "notes": ("Notes", [listed(notes(results, standings))]),
        "again": ("Run it again", [code([results.provenance.command])]),
    }
    sections = {
        key: (title, section(key, title, *content))
        for key, (title, content) in parts.items()
        if any(content)
    }
    links = [element("a", title, href=f"#{key}") for key, (title, _) in sections.items()]
    return page(
        results.name,
        element("h1", results.name),
        element("p", f"Suite: {suite(results, standings)}."),
        facts(_facts(results)),
        downloads(results),
        element("nav", listed(links), aria_label="On this page"),
        *(written for _, written in sections.values()),
    )


def downloads(results: Document) -> Html:
    """Return links to the files behind a page."""
    links = (
        element(
            "a", f"{results.name}{suffix}", href=quote(f"{results.name}{suffix}"), download=True
        )
        for suffix in (".json", ".csv")
    )
    first, second = links
    return element("p", "Download ", first, ", ", second)


def _facts(results: Results) -> dict[str, str]:
    document = results.document
    data, threat, machine = (
        results.dataset,
        results.threat,
        results.provenance.machine,
    )
    shape = "x".join(map(str, data.shape))
    return {
        "dataset": f"{data.name} {data.split}, {data.images} images, {shape}",
        "classes": str(data.classes),
        "classifier": str(results.model.name),
        "threat": f"{threat.norm}, eps {', '.join(map(eps_text, threat.eps))}",
        "goal": f"top-{threat.topk}, target {threat.target}"
        + (", scored at 8 bits" if threat.eightbit else ""),
        "rungs": ", ".join(RUNG_TITLES.get(rung, rung) for rung in results.rungs),
        "seed": str(results.seed),
        "machine": f"{machine.processor}, {machine.cores} cores, {machine.get('gpu', 'no GPU')}",
        "versions": ", ".join(f"{k} {v}" for k, v in results.provenance.versions.items()),
    }


def _ranking_note() -> Html:
    return element(
        "p",
        "Accuracy in percent with its 95 % interval; gray box and adaptive are worst cases per "
        "image, on the n images that all ranked rows have. Illusion gap: gray box minus adaptive. "
        "Like for like: the largest fall of one attack when it knows the defense. Median eps: the "
        "smallest that breaks half of all images. Rows share a rank unless McNemar's exact test "
        "tells them apart (p ≤ 0.05). †: gray-box examples made on another network.",
        class_="note",
    )


def _masking(results: Results, standings: Sequence[Standing]) -> Iterator[Html]:
    lines = [
        Line(
            [
                Cell(s.defense),
                Cell(check.check),
                Cell(check.outcome),
                Cell(f"{check.adjusted:.2g}", check.adjusted),
                Cell(str(check.n), check.n),
                Cell(check.evidence),
            ],
            {"outcome": check.outcome},
        )
        for s in standings
        if masking_verdict(results, s.defense)
        for check in results.defenses[s.defense].masking.checks
    ]
    if lines:
        caption = "Checks of each row's gradient; p after Holm's correction over those of a row."
        head = ["defense", "check", "outcome", "p", "n", "evidence"]
        yield render(Table("checks", caption, head, lines))


def _cost(results: Results) -> Iterator[Html]:
    if results.cost:
        yield render(cost_table(results))
        yield element(
            "p",
            "GMAC counts convolutions and matrix products as torch dispatches them; element-wise "
            "work, resizing and JPEG count 0.",
            class_="note",
        )


def changes_part(results: Document) -> Iterator[Html]:
    """Yield what changed since the version before, where there was one."""
    if KEY not in results.document:
        return
    lines, head, rows = told(results)
    since = results.document[KEY]["since"]
    yield element("p", "That version has the sha256 ", element("code", str(since)), ".")
    yield listed(lines)
    if rows:
        moved = [Line([Cell(text) for text in row]) for row in rows]
        yield render(Table("moved", "Numbers that moved, before → after.", head, moved))
