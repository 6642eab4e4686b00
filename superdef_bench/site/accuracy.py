"""The page of a benchmark. No torch."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from superdef_bench.changes import KEY, told
from superdef_bench.formats import RUNG_TITLES, eps_text
from superdef_bench.index import suite
from superdef_bench.leaderboard import pictures
from superdef_bench.notes import failures, masking_verdict, notes, stages
from superdef_bench.plots import drawn_in
from superdef_bench.ranking import Standing
from superdef_bench.results import Document, Results
from superdef_bench.site.accuracy_tables import attacks_table, cost_table, ranking_table
from superdef_bench.site.html import Html, element, listed
from superdef_bench.site.page import code, facts, page, section
from superdef_bench.site.picture import inline
from superdef_bench.site.tables import Cell, Line, Table, render


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
        "again": ("Run it again", [code([results.document["provenance"]["command"]])]),
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
        document["dataset"],
        document["threat"],
        document["provenance"]["machine"],
    )
    shape = "x".join(map(str, data["shape"]))
    return {
        "dataset": f"{data['name']} {data['split']}, {data['images']} images, {shape}",
        "classes": str(data["classes"]),
        "classifier": str(document["model"]["name"]),
        "threat": f"{threat['norm']}, eps {', '.join(map(eps_text, threat['eps']))}",
        "goal": f"top-{threat['topk']}, target {threat['target']}"
        + (", scored at 8 bits" if threat["eightbit"] else ""),
        "rungs": ", ".join(RUNG_TITLES.get(rung, rung) for rung in document["rungs"]),
        "seed": str(document["seed"]),
        "machine": f"{machine['processor']}, {machine['cores']} cores, "
        f"{machine.get('gpu', 'no GPU')}",
        "versions": ", ".join(f"{k} {v}" for k, v in document["provenance"]["versions"].items()),
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
                Cell(check["check"]),
                Cell(check["outcome"]),
                Cell(f"{check['adjusted']:.2g}", check["adjusted"]),
                Cell(str(check["n"]), check["n"]),
                Cell(check["evidence"]),
            ],
            {"outcome": check["outcome"]},
        )
        for s in standings
        if masking_verdict(results, s.defense)
        for check in results.document["defenses"][s.defense]["masking"]["checks"]
    ]
    if lines:
        caption = "Checks of each row's gradient; p after Holm's correction over those of a row."
        head = ["defense", "check", "outcome", "p", "n", "evidence"]
        yield render(Table("checks", caption, head, lines))


def _cost(results: Results) -> Iterator[Html]:
    if results.document["cost"]:
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
