"""Text shown as it is: what hides is spelt out, and what people write stays."""

import sys
import unicodedata
from xml.etree import ElementTree

import pytest

from superdef_bench.core.errors import DataError
from superdef_bench.core.visible import LONGEST, one_line, visible

pytestmark = pytest.mark.faults

ORDINARY = (
    *("", "superdef x2 (4–8)", "Größe", "e\u0301te\u0301", "超解像", "초해상도", "سوپر‌دف", "क्‍ष"),
    *("👩‍🔬 ❤️ 👍🏽 🇳🇴", "π ≤ 8/255 → ∞", "a\u00a0b", r"C:\weights\x1b", "\ufffd"),
)


@pytest.mark.parametrize("text", ORDINARY)
def test_what_people_write_stays(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("\x9b31m", r"\x9b31m"),
        ("a\x00\x07\x7f", r"a\x00\x07\x7f"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("nimda\u202e", r"nimda\u202e"),
        ("\u2066x\u2069\u200e\u200f\u061c", r"\u2066x\u2069\u200e\u200f\u061c"),
        ("ad\u200bmin", r"ad\u200bmin"),
        ("ad\u200dmin\u200c", r"ad\u200dmin\u200c"),
        ("\ufeffjpeg\u2060", r"\ufeffjpeg\u2060"),
        ("jp\u3164eg", r"jp\u3164eg"),
        ("line\u2028para\u2029", r"line\u2028para\u2029"),
        ("half \ud83d", r"half \ud83d"),
        ("tag\U000e0041", r"tag\U000e0041"),
    ],
)
def test_what_hides_is_spelt_out(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown


def test_no_character_at_all_moves_a_cursor_turns_a_line_or_breaks_a_parser() -> None:
    every = visible("".join(map(chr, range(sys.maxunicode + 1))))
    kinds = {unicodedata.category(char) for char in every} & {"Cc", "Cs", "Zl", "Zp"}
    assert not kinds
    assert not [c for c in every if unicodedata.bidirectional(c) in {"RLO", "LRO", "RLE", "LRE"}]
    assert not [c for c in every if unicodedata.bidirectional(c) in {"RLI", "LRI", "FSI", "PDI"}]
    spelt = every.replace("&", "").replace("<", "")
    assert ElementTree.fromstring(f"<a>{spelt}</a>").text == spelt


def test_the_newline_of_a_text_may_stay() -> None:
    assert visible("a\nb\x1b", keep="\n") == "a\nb\\x1b"
    assert one_line(" a \n\t b\x0bc ") == r"a b\x0bc"


def test_an_error_is_its_line_and_its_hint_whatever_is_in_it() -> None:
    error = DataError("dataset 'a\x1b[2J' is bad:\nTraceback\u202e", hint="rename\nit\x07")
    assert str(error) == "dataset 'a\\x1b[2J' is bad: Traceback\\u202e\nhint: rename it\\x07"
    assert "\x1b" in error.message


def test_an_error_of_a_megabyte_is_shortened() -> None:
    shown = str(DataError("x" * 2**20, hint="y"))
    assert len(shown) == LONGEST + len("\nhint: y")
    assert shown.splitlines()[0].endswith("x…")
