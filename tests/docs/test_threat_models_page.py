"""The page on threat models shows the tables that were published."""

import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
PAGE = _ROOT / "docs" / "threat-models.md"
_PLACE = re.compile(r"(<!-- table: (\S+) (.+?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def published(board: str, section: str) -> str:
    """Return the first table below a heading of a leaderboard."""
    text = (_ROOT / "leaderboards" / f"{board}.md").read_text()
    below = text.split(f"\n## {section}\n")[1]
    table = re.search(r"(^\|.*\n)+", below, re.MULTILINE)
    assert table, f"{board} has no table below {section!r}"
    return table.group(0)


def filled(page: str) -> str:
    """Return a page with every table as it was published."""

    def put(match: re.Match[str]) -> str:
        return f"{match[1]}\n{published(match[2], match[3])}\n{match[5]}"

    return _PLACE.sub(put, page)


def test_every_table_is_the_published_one() -> None:
    page = PAGE.read_text()
    assert filled(page) == page


@pytest.mark.parametrize(
    "rung", ["Transfer", "Gray box", "Surrogate", "Black box", "White box", "BPDA"]
)
def test_every_rung_has_the_table_that_it_produced(rung: str) -> None:
    shown = [match[3] for match in _PLACE.finditer(PAGE.read_text())]
    assert f"{rung}, by attack" in shown
