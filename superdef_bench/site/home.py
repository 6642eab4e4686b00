"""The first page of a site: each benchmark with its best defense. No torch."""

from collections.abc import Sequence
from urllib.parse import quote

from superdef_bench.formats import eps_text, with_interval
from superdef_bench.index import best_rows, suite
from superdef_bench.leaderboard import Publishable
from superdef_bench.quality_results import QualityResults
from superdef_bench.ranking import Score, rank
from superdef_bench.results import Results
from superdef_bench.site.html import Html, element
from superdef_bench.site.page import page, section
from superdef_bench.site.tables import Cell, Line, Table, render


def home_page(boards: Sequence[Publishable]) -> bytes:
    """Return the page that links all others."""
    accuracy = [_line(results) for results in boards if isinstance(results, Results)]
    quality = [results for results in boards if isinstance(results, QualityResults)]
    head = ["benchmark", "dataset", "images", "classifier", "threat", "suite", "best defense"]
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


def _line(results: Results) -> Line:
    document, standings = results.document, rank(results)
    data, threat = document["dataset"], document["threat"]
    shown = best_rows(standings)
    best = next((s for s in shown if s.defense != "none"), None)
    bare = next((s for s in shown if s.defense == "none"), None)
    strength = suite(results, standings).split(":")[0]
    numbers = [best.clean, best.gray, best.adaptive] if best else [None, None, None]
    n = best.adaptive.n if best and best.adaptive else None
    return Line(
        [
            Cell(_link(results)),
            Cell(data["name"]),
            Cell(str(data["images"]), data["images"]),
            Cell(document["model"]["name"]),
            Cell(f"{threat['norm']} {eps_text(threat['eps'][-1])}"),
            Cell(strength),
            Cell(best.defense if best else "–"),
            *(_score(value, "≤ " * (value is numbers[2])) for value in numbers),
            _score(bare.adaptive if bare else None, "≤ "),
            Cell("–" if n is None else str(n), n),
        ],
        {"dataset": data["name"], "suite": strength},
    )


def _score(value: Score | None, prefix: str) -> Cell:
    if value is None:
        return Cell("–")
    return Cell(with_interval(value, prefix), value.accuracy)


def _photographs(results: QualityResults) -> Line:
    scale = results.document["scale"]
    sets = ", ".join(dict.fromkeys(row["dataset"] for row in results.rows))
    return Line([Cell(_link(results)), Cell(sets), Cell(f"x{scale}", scale)])


def _link(results: Publishable) -> Html:
    return element("a", results.name, href=quote(f"{results.name}.html"))
