"""A results file in which anything is damaged: it is published, or refused in one line."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from superdef_bench.core.errors import DataError
from superdef_bench.leaderboard.markdown import leaderboard
from superdef_bench.leaderboard.publish import table
from superdef_bench.leaderboard.quality import quality_files
from superdef_bench.results.contradictions import contradictions
from superdef_bench.results.load import load_published
from superdef_bench.results.ranking import rank
from superdef_bench.results.schema import Published, QualityResults
from tests.support.documents import GOLDEN, write

pytestmark = pytest.mark.ci

_QUALITY = GOLDEN.parents[2] / "leaderboards/super-resolution-x2.json"
_GONE = object()
_WRONG: tuple[object, ...] = (_GONE, None, -1, "x", [], {})

Place = tuple[str | int, ...]


def small(file: Path) -> dict[str, Any]:
    """Return results of one defense beside the bare classifier, with few rows."""
    document: dict[str, Any] = json.loads(file.read_text())
    if "quality" in document:
        return document
    kept = ("none", "jpeg")
    document["defenses"] = {name: document["defenses"][name] for name in kept}
    for part in ("accuracy", "cost"):
        document[part] = [row for row in document[part] if row["defense"] in kept]
    return document


def places(part: Any, above: Place = ()) -> Iterator[Place]:
    """Yield the place of every value; of long lists the first ones, which are of each kind."""
    items = part.items() if isinstance(part, dict) else []
    if isinstance(part, list):
        items = list(enumerate(part))[:3] + list(enumerate(part))[-2:]
    for key, value in items:
        yield (*above, key)
        if key != "config":
            yield from places(value, (*above, key))


def damaged(document: dict[str, Any], place: Place, value: object) -> dict[str, Any]:
    other = copy.deepcopy(document)
    part: Any = other
    for key in place[:-1]:
        part = part[key]
    if value is _GONE:
        del part[place[-1]]
    else:
        part[place[-1]] = value
    return other


def read(path: Path) -> Published | str:
    """Return results, or the error that they are refused with."""
    try:
        return load_published(path)
    except DataError as error:
        return str(error)


@pytest.mark.parametrize("file", [GOLDEN, _QUALITY], ids=["accuracy", "quality"])
def test_whatever_is_damaged_is_one_line_or_harms_nothing(file: Path, tmp_path: Path) -> None:
    document, path = small(file), tmp_path / "damaged.json"
    refused, published = 0, 0
    for place in dict.fromkeys(places(document)):
        for value in _WRONG:
            write(path, damaged(document, place, value))
            results = read(path)
            if isinstance(results, str):
                assert len(results.splitlines()) == 2, results  # the error and its hint
                refused += 1
                continue
            if isinstance(results, QualityResults):
                assert quality_files(results)
            else:
                assert leaderboard(results, rank(results))
                assert table(results)
                list(contradictions(results))
            published += 1
    assert refused > 3 * published > 0


@pytest.mark.parametrize("chain", [3, "jpeg", [3], ["jpeg"], {"plugin": "jpeg"}])
def test_a_chain_of_what_names_no_plugin_is_refused(tmp_path: Path, chain: object) -> None:
    document, path = small(GOLDEN), tmp_path / "chain.json"
    document["defenses"]["jpeg"]["arguments"] = {"chain": chain}
    write(path, document)
    with pytest.raises(DataError, match=r"chain in arguments is no list|arguments name no plugin"):
        load_published(path)


@pytest.mark.parametrize("cut", [0, 1, 500, -2])
def test_a_file_that_ends_too_early_is_no_json(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "cut.json"
    path.write_text(GOLDEN.read_text()[:cut])
    with pytest.raises(DataError, match=r"no JSON|no results file"):
        load_published(path)


def test_a_file_nested_without_end_is_no_json(tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    path.write_text("[" * 100_000)
    with pytest.raises(DataError, match="no JSON"):
        load_published(path)


def test_bytes_that_are_no_text_are_no_json(tmp_path: Path) -> None:
    path = tmp_path / "bytes.json"
    path.write_bytes(GOLDEN.read_bytes().replace(b"jpeg", b"jp\xffg"))
    with pytest.raises(DataError, match="no JSON"):
        load_published(path)
