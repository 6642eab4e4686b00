"""The first page of a site: each benchmark with its best defense. No torch."""

from collections.abc import Sequence
from urllib.parse import quote

from superdef_bench.leaderboard.index import best_rows, suite
from superdef_bench.leaderboard.site.accuracy import score_cell
from superdef_bench.leaderboard.site.page import Html, element, page, section
from superdef_bench.leaderboard.site.tables import Cell, Line, Table, render
from superdef_bench.results.ranking import Standing
from superdef_bench.results.schema import QualityResults, Results
from superdef_bench.results.text import eps_text


def home_page(
    boards: Sequence[tuple[Results, Sequence[Standing]]], quality: Sequence[QualityResults]
) -> bytes:
    """Return the page that links all others.

    Args:
        boards: Benchmarks and their rankings.
        quality: Restored photographs.
    """
    accuracy = [_line(results, standings) for results, standings in boards]
    head = ["benchmark", "dataset", "classifier", "threat", "suite", "best defense"]
    head += ["clean", "gray box", "adaptive", "undefended", "n"]
    caption = (
        "The best ranked defense of each benchmark at its last eps, and the adaptive accuracy of "
        "the undefended classifier; in percent, with 95 % intervals. Numbers of two benchmarks "
        "are not comparable."
    )
    names = ["leaderboard", "photographs of", "scale"]
    photographs = Table("photographs", "Networks alone.", names, [*map(_photographs, quality)])
    return page(
        "superdef-bench leaderboards",
        element("h1", "Leaderboards"),
        element(
            "p",
            "Input-transformation defenses, attacked without and with knowledge of them, on the "
            "same images.",
        ),
        section("benchmarks", "Benchmarks", render(Table("all", caption, head, accuracy)))
        if accuracy
        else "",
        section("quality", "Restored photographs", render(photographs)) if quality else "",
    )


def _line(results: Results, standings: Sequence[Standing]) -> Line:
    document = results.document
    data, threat = results.dataset, results.threat
    shown = best_rows(standings)
    best = next((s for s in shown if s.defense != "none"), None)
    bare = next((s for s in shown if s.defense == "none"), None)
    strength = suite(results, standings).split(":")[0]
    adaptive = best.adaptive if best else None
    n = adaptive.n if adaptive else None
    return Line(
        [
            Cell(_link(results)),
            Cell(data.name),
            Cell(results.model.name),
            Cell(f"{threat.norm} {eps_text(threat.eps[-1])}"),
            Cell(strength),
            Cell(best.defense if best else "–"),
            score_cell(best.clean if best else None),
            score_cell(best.gray if best else None),
            score_cell(adaptive, "≤ "),
            score_cell(bare.adaptive if bare else None, "≤ "),
            Cell("–" if n is None else str(n), n),
        ],
        {"dataset": data.name, "suite": strength},
    )


def _photographs(results: QualityResults) -> Line:
    scale = results.scale
    sets = ", ".join(dict.fromkeys(row.dataset for row in results.rows))
    return Line([Cell(_link(results)), Cell(sets), Cell(f"x{scale}", scale)])


def _link(results: Publishable) -> Html:
    return element("a", results.name, href=quote(f"{results.name}.html"))
