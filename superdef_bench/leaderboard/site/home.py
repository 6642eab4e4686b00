"""The first page of a site: each benchmark with its best defense. No torch."""

from collections.abc import Sequence

from superdef_bench.core.threats import UNDEFENDED
from superdef_bench.leaderboard.classifier import classifier_title
from superdef_bench.leaderboard.index import best_rows
from superdef_bench.leaderboard.site.page import render
from superdef_bench.leaderboard.tables import BELOW, score_cell
from superdef_bench.results.ranking import Standing, images_text
from superdef_bench.results.schema import QualityResults, Results
from superdef_bench.results.suite import suite_of_table
from superdef_bench.results.table import NOTHING, Cell, Line, Table
from superdef_bench.results.text import eps_text


def home_page(
    boards: Sequence[tuple[Results, Sequence[Standing]]], quality: Sequence[QualityResults]
) -> bytes:
    """Return the page that links all others.

    Args:
        boards: Benchmarks and their rankings.
        quality: Restored photographs.
    """
    head = ["benchmark", "dataset", "classifier", "threat", "suite", "best defense"]
    head += ["clean", "gray box", "adaptive", "undefended", "n"]
    caption = (
        "The best ranked defense of each benchmark at its last eps, and the adaptive accuracy of "
        "the undefended classifier; in percent, with 95 % intervals. Numbers of two benchmarks "
        "are not comparable."
    )
    lines = [_benchmark(results, standings) for results, standings in boards]
    names = ["leaderboard", "photographs of", "scale"]
    photographs = [_photographs(results) for results in quality]
    return render(
        "home.html",
        benchmarks=Table("all", caption, head, lines),
        photographs=Table("photographs", "Networks alone.", names, photographs),
    )


def _benchmark(results: Results, standings: Sequence[Standing]) -> Line:
    """Return a benchmark as a row; its name is that of its page."""
    data, threat = results.dataset, results.threat
    shown = best_rows(standings)
    best = next((s for s in shown if s.defense != UNDEFENDED), None)
    bare = next((s for s in shown if s.defense == UNDEFENDED), None)
    strength = suite_of_table(results, standings).split(":")[0]
    adaptive = best.adaptive if best else None
    return Line(
        [
            Cell(results.name),
            Cell(f"{data.name}, {images_text(results, standings)}"),
            Cell(classifier_title(results)),
            Cell(f"{threat.norm} {eps_text(results.last_eps)}"),
            Cell(strength),
            Cell(best.defense if best else "–"),
            score_cell(best.clean if best else None),
            score_cell(best.gray if best else None),
            score_cell(adaptive, BELOW),
            score_cell(bare.adaptive if bare else None, BELOW),
            Cell(str(adaptive.n), adaptive.n) if adaptive else NOTHING,
        ],
        {"dataset": data.name, "suite": strength},
    )


def _photographs(results: QualityResults) -> Line:
    """Return restored photographs as a row; its name is that of its page."""
    sets = ", ".join(dict.fromkeys(row.dataset for row in results.quality))
    return Line([Cell(results.name), Cell(sets), Cell(f"x{results.scale}", results.scale)])
