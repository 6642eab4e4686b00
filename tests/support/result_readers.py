"""Readers of results, and of what is kept of their costs."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from superdef_bench.core.errors import DataError, SuperdefError
from superdef_bench.gate.compare import compare
from superdef_bench.gate.findings import parse_limits
from superdef_bench.gate.history import METRICS, history, to_text, versions_of
from superdef_bench.io.seal import seal
from superdef_bench.leaderboard.index import index, published
from superdef_bench.leaderboard.markdown import leaderboard
from superdef_bench.leaderboard.publish import load, pictures, publish, table
from superdef_bench.leaderboard.quality import quality_files
from superdef_bench.leaderboard.site import write_site
from superdef_bench.measure.run_costs import kept_costs
from superdef_bench.results.contradictions import contradictions
from superdef_bench.results.load import load_published, load_results
from superdef_bench.results.ranking import Standing, rank
from superdef_bench.results.schema import Columns, QualityResults, Results
from tests.support.contradictions import contradict
from tests.support.documents import GOLDEN
from tests.support.mutations import to_json
from tests.support.reader import Reader, of_document

_BOARDS = GOLDEN.parents[2] / "leaderboards"


_KEPT = ("none", "random_resize_pad (native)")


def reseal(document: Any) -> bytes:
    """Return results as their writer would: only what reading the hash would not find is damage."""
    if isinstance(document, dict):
        # What has no hash keeps the old one, and is refused for that.
        with suppress(ValueError, TypeError, RecursionError):
            document = seal(document)
    return to_json(document)


def small_results() -> dict[str, Any]:
    """Return valid results of one random defense beside the bare classifier."""
    document: dict[str, Any] = json.loads((_BOARDS / "cifar10-jpeg-ladder.json").read_text())
    document["defenses"] = {name: document["defenses"][name] for name in _KEPT}
    for part in ("accuracy", "cost", "failures", "not_applicable"):
        document[part] = [row for row in document[part] if row["defense"] in _KEPT]
    cell = {name: document["accuracy"][-1][name] for name in Columns.model_fields}
    document["failures"] = [{**cell, "error": "it stopped"}]
    document["refused"] = [{**cell, "why": "it is slow"}]
    changes = json.loads((_BOARDS / "signs-linf.json").read_text())["changes"]
    document["changes"] = {**changes, "moved": changes["moved"][:2]}
    return document


def _ranked(
    folder: Path, name: str, show: Callable[[Results, Sequence[Standing]], object]
) -> Reader:
    """Return the reader that loads results, ranks them, and shows what comes of it."""
    file = folder / "results.json"

    def read(content: bytes) -> None:
        file.write_bytes(content)
        results = load_results(file)
        show(results, rank(results))

    return Reader(name, of_document(small_results(), reseal, contradict), read)


def _results(folder: Path) -> Reader:
    def show(results: Results, standings: Sequence[Standing]) -> None:
        leaderboard(results, standings).encode()
        table(results).encode()
        list(contradictions(results))
        results.to_json()

    return _ranked(folder, "results", show)


def _quality(folder: Path) -> Reader:
    file = folder / "results.json"

    def read(content: bytes) -> None:
        file.write_bytes(content)
        results = load_published(file)
        if isinstance(results, QualityResults):
            quality_files(results)
        index([results]).encode()

    return Reader(
        "quality",
        of_document(json.loads((_BOARDS / "super-resolution-x2.json").read_text()), reseal),
        read,
    )


def _index(folder: Path) -> Reader:
    def read(content: bytes) -> None:
        (folder / "example.json").write_bytes(content)
        index(published(folder)).encode()

    return Reader("index", of_document(small_results(), reseal, contradict), read)


def _site(folder: Path) -> Reader:
    file = folder / "results.json"
    file.write_bytes(reseal(small_results()))
    publish(load(file), folder)  # what damage does not reach need not be drawn again

    def read(content: bytes) -> None:
        file.write_bytes(content)
        write_site({file: load(file)}, folder / "site")

    return Reader("site", of_document(small_results(), reseal), read)


def _pictures(folder: Path) -> Reader:
    def show(results: Results, standings: Sequence[Standing]) -> None:
        for picture in pictures(results, standings).values():
            picture.draw(results, standings)

    return _ranked(folder, "pictures", show)


def _history(folder: Path) -> Reader:
    (folder / "before.json").write_bytes(reseal(small_results()))
    before = load_results(folder / "before.json")

    def read(content: bytes) -> None:
        (folder / "after.json").write_bytes(content)
        versions = list(versions_of([folder / "before.json", folder / "after.json"], 0))
        for metric in METRICS:
            to_text(history(versions, metric), "ascii")
        for pair in (before, versions[1].results), (versions[1].results, before):
            try:
                compare(*pair, parse_limits([]))
            except SuperdefError:
                continue

    return Reader("history", of_document(small_results(), reseal, contradict), read)


def _costs(folder: Path) -> Reader:
    file, rows = folder / "cost.json", small_results()["cost"]
    kept = {"key": "k", "rows": rows, "reference_ms": 1.5, "forward": dict.fromkeys(_KEPT, 0.1)}

    def read(content: bytes) -> None:
        file.write_bytes(content)
        found = kept_costs(file, "k", _KEPT)
        if found is None:
            raise DataError("it is measured again")
        document = {**small_results(), "cost": found.rows}
        results = Results.of(document)
        leaderboard(results, rank(results))

    return Reader("costs", of_document(kept, reseal), read)


RESULT_READERS: Mapping[str, Callable[[Path], Reader]] = {
    "results": _results,
    "quality": _quality,
    "index": _index,
    "site": _site,
    "pictures": _pictures,
    "history": _history,
    "costs": _costs,
}
