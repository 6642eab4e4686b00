"""The command compare: formats, exit codes, and files that are not what they should be."""

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.support.commands import Answer
from tests.support.gate_documents import Place, document, right, saved

Run = Callable[..., Answer]
EVIL = '<b>|a</b> `x` [l](http://h) <script>\n\x1b[31m& "q" $y$ \x00'
CLEAN: Place = (EVIL, "", "none")
GRAY: Place = ("jpeg", "gray_box", "pgd")


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Return results and worse ones: one row fell, one is missing, one was nothing before."""
    zero: Place = ("jpeg", "bpda", "pgd")
    before = document({CLEAN: right(512, 400), GRAY: right(512, 300), zero: right(64, 0)})
    after = document({CLEAN: right(512, 200), zero: right(64, 0)})
    return saved(tmp_path, "before", before), saved(tmp_path, "after", after)


def test_the_same_file_passes_and_a_worse_one_does_not(
    run_cli: Run, pair: tuple[Path, Path]
) -> None:
    good = run_cli("compare", pair[0], pair[0])
    assert (good.code, good.err) == (0, "")
    assert "PASS: " in good.out
    bad = run_cli("compare", *pair)
    assert (bad.code, bad.err) == (1, "")
    for words in ("FAIL: ", "fell by 39.1 points", "Missing (1)", "nothing right", "Noise floor"):
        assert words in bad.out
    assert "Holm's correction over 2 rows" in bad.out
    assert "n = 64: a fall of 14.1 points can be seen" in bad.out


def test_text_fits_eighty_columns_and_a_plain_terminal(
    run_cli: Run, pair: tuple[Path, Path]
) -> None:
    out = run_cli("compare", *pair).out
    assert max(map(len, out.splitlines())) <= 80
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", out)


def test_markdown_says_names_and_runs_none(run_cli: Run, pair: tuple[Path, Path]) -> None:
    out = run_cli("compare", *pair, "--format", "markdown").out
    assert out.startswith("## FAIL: ")
    assert "<b>" not in out
    assert "<script>" not in out
    assert "\\[l\\]" in out
    for line in out.splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) == 5, line


def test_json_has_all_digits(run_cli: Run, pair: tuple[Path, Path]) -> None:
    answer = run_cli("compare", *pair, "--format", "json")
    found = json.loads(answer.out)
    assert (answer.code, found["regressed"], found["family"]) == (1, True, 2)
    fell = next(check for check in found["checks"] if check["status"] == "regressed")
    assert fell["defense"] == EVIL
    assert (fell["before"], fell["change"], fell["n"]) == (78.125, -39.0625, 512)
    assert found["floors"][1] == {"n": 64, "points": 14.0625}


def test_junit_is_xml_whatever_the_names(run_cli: Run, pair: tuple[Path, Path]) -> None:
    suite = ElementTree.fromstring(run_cli("compare", *pair, "--format", "junit").out)
    cases = suite.findall("testcase")
    assert suite.get("tests") == str(len(cases))
    assert suite.get("failures") == str(len(suite.findall("testcase/failure"))) == "2"
    assert suite.get("skipped") == str(len(suite.findall("testcase/skipped"))) == "1"
    assert "<b>|a</b> `x`" in (cases[0].get("classname") or "")


def damaged(made: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(made), **changes}


def test_results_that_cannot_be_judged_are_told_in_one_line(run_cli: Run, tmp_path: Path) -> None:
    made = document({GRAY: right(512, 300)})
    good = saved(tmp_path, "good", made)
    wrong = copy.deepcopy(made)
    wrong["accuracy"][0]["correct"] = 301
    other = damaged(made, seed=1)
    cut = tmp_path / "cut.json"
    cut.write_text(good.read_text()[:1000])
    nan = tmp_path / "nan.json"
    nan.write_text(good.read_text().replace('"seed": 0', '"seed": NaN'))
    half = tmp_path / "half.json"  # of a character: neither a terminal nor XML could show it
    half.write_text(good.read_text().replace('"jpeg"', '"jpeg \\ud800"'))
    (tmp_path / "empty").mkdir()
    cases = [
        (tmp_path / "nowhere.json", "cannot be read: No such file"),
        (tmp_path / "empty", "cannot be read: No such file"),
        (cut, "are no JSON"),
        (nan, "NaN is no number"),
        (half, "a text has half a character"),
        (saved(tmp_path, "newer", damaged(made, schema=9)), "have schema 9, this version reads 2"),
        (saved(tmp_path, "wrong", wrong), "300 bits are set, correct says 301"),
        (saved(tmp_path, "other", other), "not comparable: seed was"),
    ]
    for file, message in cases:
        for words in ((file, good), (good, file)):
            answer = run_cli("compare", *words)
            assert (answer.code, answer.out) == (2, ""), file
            assert message in answer.err
            assert "hint: " in answer.err
            assert len(answer.err.splitlines()) == 2


def test_usage_mistakes_are_told_before_anything_is_read(run_cli: Run) -> None:
    for words, message in (
        (["--format", "yunit"], "unknown format 'yunit'\nhint: did you mean 'junit'?"),
        (["--fail-on", "gamc:5%"], "unknown metric 'gamc'\nhint: did you mean 'gmac'?"),
    ):
        answer = run_cli("compare", "nowhere", "nowhere", *words)
        assert (answer.code, answer.out) == (2, "")
        assert message in answer.err
