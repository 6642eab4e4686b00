"""Results whose names hold controls: every page is whole and shows them, the JSON keeps them."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from superdef_bench.core.visible import visible
from superdef_bench.gate.history import Version, history, to_svg, to_text
from superdef_bench.leaderboard.plots import draw_bars, drawn_in
from superdef_bench.leaderboard.publish import files, publish
from superdef_bench.leaderboard.site import write_site
from superdef_bench.results.ranking import rank
from superdef_bench.results.schema import Results
from superdef_bench.results.text import escape
from tests.support.documents import GOLDEN

pytestmark = pytest.mark.faults

EVIL = "\x1b[2J\x00\x9b\u202eevil\u200b\u2028\n\t\x85"
_HIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u2028\u202e\ud800-\udfff]")


def hidden() -> dict[str, Any]:
    """Return the golden document with controls in the names of rows, attacks, data and models."""
    text = GOLDEN.read_text()
    for name in ("jpeg", "pgd", "signs", "signs_resnet8", "linf"):
        if name != "linf":
            text = text.replace(f'"{name}"', json.dumps(name + EVIL))
    document: dict[str, Any] = json.loads(text)
    document["provenance"]["command"] = f"superdef-bench run '{EVIL}'"
    failure = {k: v for k, v in document["accuracy"][1].items() if k != "verdicts"}
    document["failures"] = [{**failure, "error": EVIL + "x" * 2**20}]
    return document


def test_markdown_and_csv_show_them_and_the_json_keeps_them(tmp_path: Path) -> None:
    results = Results.of(hidden())
    written = {path.suffix: path.read_bytes() for path in publish(results, tmp_path)}
    page, table = written[".md"].decode(), written[".csv"].decode()
    assert not _HIDDEN.search(page)
    assert r"jpeg\\x1b\[2J\\x00\\x9b\\u202eevil\\u200b\\u2028 \\x85" in page
    assert len(page) < 20_000
    assert not _HIDDEN.search(table)
    names = {row["defense"] for row in csv.DictReader(io.StringIO(table))}
    assert visible("jpeg" + EVIL) in names
    assert "jpeg" + EVIL in json.loads(written[".json"])["defenses"]


def test_pictures_and_pages_are_whole(tmp_path: Path) -> None:
    results = Results.of(hidden())
    for suffix, content in files(results).items():
        if suffix.endswith(".svg"):
            ElementTree.fromstring(content)
            assert rb"\x1b[2J" in content
    (tmp_path / f"{results.name}.svg").write_bytes(b"")
    write_site({tmp_path / results.name: results}, tmp_path / "site")
    pages = list((tmp_path / "site").glob("*.html"))
    assert len(pages) == 2
    for path in pages:
        assert not _HIDDEN.search(path.read_text())
        assert visible(EVIL) in path.read_text()


def test_a_broken_picture_that_lies_there_is_drawn_again(tmp_path: Path) -> None:
    results = Results.of(hidden())
    standings = rank(results)
    good = draw_bars(results, standings)
    (tmp_path / "old.svg").write_bytes(good.replace(rb"\x1b", b"\x1b"))
    with drawn_in(tmp_path):
        assert draw_bars(results, standings) == good
    (tmp_path / "old.svg").write_bytes(good.replace(b"<svg", b"<svg data-kept='1'", 1))
    with drawn_in(tmp_path):
        assert b"data-kept" in draw_bars(results, standings)


def test_a_history_shows_them() -> None:
    found = history([Version(f"v{EVIL}", Results.of(hidden()))], "clean")
    assert not _HIDDEN.search(to_text(found, "utf-8"))
    ElementTree.fromstring(to_svg(found))


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("> quoted", "&gt; quoted"),
        ("# heading", r"\# heading"),
        ("- item", r"\- item"),
        ("12. item", r"12\. item"),
        ("~~~ fence", r"~~\~ fence"),
        ("a > b", "a > b"),
        ("-x", "-x"),
    ],
)
def test_a_name_begins_no_block_of_markdown(name: str, written: str) -> None:
    assert escape(name) == written
