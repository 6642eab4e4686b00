"""Several tables in one: whom a row helps against."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from superdef_bench.analysis.summary import ALIKE, HELPS, HURTS, Effect, summarise
from superdef_bench.core.errors import ConfigError
from superdef_bench.results.load import load_results
from superdef_bench.results.rows import verdicts
from superdef_bench.results.statistics import holm, mcnemar
from tests.support.commands import Answer
from tests.support.documents import write

_ROOT = Path(__file__).parents[2]
_SIGNS, _PHOTOGRAPHS = (
    _ROOT / f"leaderboards/{name}.json" for name in ("signs-linf", "cifar10-jpeg-linf")
)
_GOLDEN = _ROOT / "tests/golden/example.json"
Run = Callable[..., Answer]


def test_effects_are_paired_tests_against_the_undefended_classifier() -> None:
    results = load_results(_SIGNS)
    robust, student = summarise([results], ["adversarial_training", "superdef"])
    row = results.worst("superdef (reconstruction, native)", "gray_box")
    bare = results.worst("none", "gray_box")
    assert row is not None
    assert bare is not None
    a, b = verdicts(row), verdicts(bare)
    assert student.unaware is not None
    assert (student.unaware.n, student.unaware.first) == (1000, a.mean())
    assert student.unaware.p >= mcnemar(a, b)
    assert robust.aware is not None
    assert robust.aware.verdict == robust.unaware.verdict == HELPS  # type: ignore[union-attr]  # attacked
    assert robust.replaces
    assert student.aware is not None
    assert student.aware.verdict in (ALIKE, HURTS)


@pytest.mark.parametrize(
    ("first", "p", "verdict"),
    [(0.9, 0.05, HELPS), (0.1, 0.05, HURTS), (0.9, 0.051, ALIKE), (0.1, 1.0, ALIKE)],
)
def test_a_verdict_needs_a_difference_that_the_images_show(
    first: float, p: float, verdict: str
) -> None:
    assert Effect(100, first, 0.5, p).verdict == verdict


def test_p_is_corrected_over_all_that_is_asked() -> None:
    results = load_results(_SIGNS)
    words = ["superdef", "median", "jpeg"]
    found = summarise([results], words)
    effects = [e for row in found for e in (row.unaware, row.aware) if e]
    raw = []
    for row in found:
        for rung, effect in (("gray_box", row.unaware), ("adaptive", row.aware)):
            own, bare = results.worst(row.defense, rung), results.worst("none", rung)
            if effect and own and bare:
                n = min(own.n, bare.n)
                raw.append(mcnemar(verdicts(own)[:n], verdicts(bare)[:n]))
    assert [e.p for e in effects] == holm(raw)


def test_rows_of_several_tables_stand_below_each_other(run_cli: Run) -> None:
    words = ("--row", "superdef", "--row", "none", "--json")
    rows = json.loads(run_cli("summary", _SIGNS, _PHOTOGRAPHS, *words).out)
    assert [(row["defense"].split()[0], row["table"]) for row in rows] == [
        ("superdef", "signs-linf"),
        ("superdef", "cifar10-jpeg-linf"),
        ("none", "signs-linf"),
        ("none", "cifar10-jpeg-linf"),
    ]
    assert rows[2]["unaware"] is rows[2]["aware"] is None
    shown = run_cli("summary", _SIGNS, _PHOTOGRAPHS, "--row", "superdef")
    assert all(len(line) <= 80 for line in shown.out.splitlines())
    page = run_cli("summary", _SIGNS, _PHOTOGRAPHS, "--row", "superdef", "--markdown").out
    assert "| signs-linf, 8/255 |" in page
    assert "Holm's correction" in page


def test_a_table_without_the_row_goes_without_it(run_cli: Run, tmp_path: Path) -> None:
    found = summarise([load_results(_GOLDEN), load_results(_SIGNS)], ["superdef_wavelet"])
    assert [row.table for row in found] == ["signs-linf"]
    answer = run_cli("summary", _GOLDEN, _SIGNS, "--row", "superdev")
    assert answer.code == 2
    assert "has no row 'superdev'" in answer.err
    with pytest.raises(ConfigError, match="has no row"):
        summarise([load_results(_SIGNS)], ["nothing"])


def test_a_row_that_is_not_ranked_has_no_verdict_where_it_is_known(tmp_path: Path) -> None:
    document: dict[str, Any] = json.loads(_GOLDEN.read_text())
    document["defenses"]["jpeg"]["missing"] = ["white_box fgsm 8/255: it failed"]
    write(tmp_path / "less.json", document)
    (row,) = summarise([load_results(tmp_path / "less.json")], ["jpeg"])
    assert row.aware is None
    assert row.unaware is not None
    assert row.adaptive is not None


def test_no_verdict_where_the_undefended_row_is_not_ranked(tmp_path: Path) -> None:
    document: dict[str, Any] = json.loads(_GOLDEN.read_text())
    document["defenses"]["none"]["missing"] = ["white_box fgsm 8/255: it failed"]
    write(tmp_path / "less.json", document)
    (row,) = summarise([load_results(tmp_path / "less.json")], ["jpeg"])
    assert row.aware is None
    assert row.unaware is not None


def test_a_table_that_comes_twice_is_refused(run_cli: Run) -> None:
    answer = run_cli("summary", _SIGNS, _SIGNS, "--row", "superdef")
    assert answer.code == 2
    assert answer.err.startswith("error: results 'signs-linf' are given twice")
