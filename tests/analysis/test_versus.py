"""Two rows of a leaderboard side by side."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from superdef_bench.analysis.versus import compare_all, compare_rows
from superdef_bench.results.load import load_results
from superdef_bench.results.rows import find_row, verdicts
from superdef_bench.results.schema import Results
from superdef_bench.results.statistics import holm, mcnemar, ratio_interval
from tests.support.commands import Answer
from tests.support.documents import write

GOLDEN = Path(__file__).parents[1] / "golden/example.json"
Run = Callable[..., Answer]


def bits(*counts: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two rows: so many right in both, in the first alone, in the second alone, in none."""
    first = np.repeat([True, True, False, False], counts)
    return first, np.repeat([True, False, True, False], counts)


def test_the_interval_of_a_ratio_is_that_of_resampling_images_one_by_one() -> None:
    first, second = bits(60, 10, 25, 5)
    rng = np.random.default_rng(1)
    drawn = rng.integers(0, len(first), (20_000, len(first)))
    plain = np.percentile(first[drawn].sum(1) / second[drawn].sum(1), [2.5, 97.5])
    found = ratio_interval(first, second)
    assert found is not None
    np.testing.assert_allclose(found, plain, atol=0.01)
    assert found[0] < first.sum() / second.sum() < found[1]


def test_the_interval_of_equal_rows_is_a_point_and_there_is_none_of_nothing() -> None:
    same, _ = bits(40, 0, 0, 30)
    assert ratio_interval(same, same) == (1.0, 1.0)
    # Of a handful of images resampling says nothing.
    for counts in ((0, 3, 0, 5), (0, 0, 30, 5), (4, 0, 0, 5), (4, 30, 0, 9)):
        found = ratio_interval(*bits(*counts))
        assert found is None or counts == (4, 0, 0, 5)
    narrow, wide = (ratio_interval(*bits(*(k * c for c in (6, 2, 1, 1)))) for k in (100, 1))
    assert narrow is not None
    assert wide is not None
    assert narrow[1] - narrow[0] < (wide[1] - wide[0]) / 4


def test_rows_are_compared_on_the_images_that_both_have() -> None:
    results = load_results(GOLDEN)
    names = list(results.document["defenses"])
    found = list(compare_rows(results, names[1], names[0], attacks=True))
    assert {row.what.split(",")[0] for row in found} >= {"clean", "Gray box", "Adaptive"}
    for row in found:
        assert row.n > 0
        assert row.ratio == (pytest.approx(row.first / row.second) if row.second else None)
    clean = next(row for row in found if row.what == "clean")
    one, other = (
        verdicts(results.row(defense=name, rung="", attack="none"))[: clean.n]  # type: ignore[arg-type]  # both are there
        for name in (names[1], names[0])
    )
    assert (clean.first, clean.second) == (one.mean(), other.mean())
    assert clean.p == mcnemar(one, other)
    short = list(compare_rows(results, names[1], names[0]))
    assert {row.what.split(", ")[1] for row in short[1:]} == {"worst"}


def test_p_is_corrected_over_all_that_is_compared_at_once() -> None:
    results = load_results(GOLDEN)
    bare, *names = results.defenses
    found = compare_all(results, bare, names)
    rows = [row for name in names for row in found[name]]
    assert len(names) > 1
    assert [row.adjusted for row in rows] == holm([row.p for row in rows])
    assert any(row.adjusted > row.p for row in rows)
    alone = compare_all(results, bare, names[:1])[names[0]]
    assert max(row.adjusted for row in alone) <= max(row.adjusted for row in found[names[0]])


def test_columns_are_headed_by_the_names_of_the_rows(run_cli: Run) -> None:
    answer = run_cli("versus", GOLDEN, "jpeg", "none", "bicubic_x2")
    heads = answer.out.split("against")[1:]
    assert "jpeg" in heads[0].split("┡")[0]
    assert "none" in heads[0].split("┡")[0]
    assert "first" not in answer.out.split("p: McNemar")[0]
    tests = len(json.loads(run_cli("versus", GOLDEN, "jpeg", "none", "bicubic_x2", "--json").out))
    assert f"over the {tests} tests" in " ".join(answer.out.split())
    head = run_cli("versus", GOLDEN, "jpeg", "none", "--markdown").out.splitlines()[0]
    assert head == "| against | images | n | jpeg | none | ratio | 95 % | p (Holm) |"


def test_rows_that_did_not_face_the_same_have_no_adaptive_ratio(
    run_cli: Run, tmp_path: Path
) -> None:
    document = json.loads(GOLDEN.read_text())
    names = list(document["defenses"])
    document["defenses"][names[1]]["missing"] = ["white_box fgsm 8/255: it failed"]
    write(tmp_path / "less.json", document)
    answer = run_cli("versus", "less.json", names[1], "none")
    assert answer.code == 0
    assert "Adaptive" not in answer.out
    assert "Gray box" in answer.out
    assert "is not ranked: white_box fgsm 8/255: it failed" in " ".join(answer.out.split())
    assert "Adaptive" in run_cli("versus", GOLDEN, names[1], "none").out
    shown = run_cli("versus", "less.json", names[1], "none", "--markdown").out
    assert "- " + names[1].split(" ")[0] in shown


def test_the_command_prints_a_table_or_json(run_cli: Run) -> None:
    names = list(load_results(GOLDEN).document["defenses"])
    answer = run_cli("versus", GOLDEN, names[1], "none")
    assert answer.code == 0
    assert "McNemar" in answer.out
    assert all(len(line) <= 80 for line in answer.out.splitlines())
    rows = json.loads(run_cli("versus", GOLDEN, names[1], "none", "--json").out)
    assert rows[0]["what"] == "clean"
    assert rows[0]["n"] > 0


def test_several_rows_are_one_markdown_table(run_cli: Run) -> None:
    _, first, second, *_ = load_results(GOLDEN).document["defenses"]
    out = run_cli("versus", GOLDEN, first, "none", second, "--markdown").out
    head, align, *lines = filter(None, out.splitlines())
    assert head.startswith("| against | images | n |")
    assert align.count("--:") == 7
    assert {line.split(" | ")[0] for line in lines} == {"| none", f"| {second}"}
    assert len({line.count("|") for line in lines}) == 1


def test_a_row_that_is_not_there_and_one_that_is_two(run_cli: Run) -> None:
    answer = run_cli("versus", GOLDEN, "nonne", "none")
    assert (answer.code, answer.out) == (2, "")
    assert "has no row 'nonne'" in answer.err
    assert "did you mean 'none'?" in answer.err
    document = json.loads(GOLDEN.read_text())
    one = document["defenses"]["none"]
    document["defenses"] |= {"x (native)": one, "x (resize_back)": one}
    results = Results.of(document)
    assert find_row(results, "x (native)") == "x (native)"
    with pytest.raises(Exception, match=r"has no row 'x'") as error:
        find_row(results, "x")
    assert "x (native) or x (resize_back)" in str(error.value.hint)  # type: ignore[attr-defined]  # a ConfigError


def test_a_name_is_only_a_name(tmp_path: Path, run_cli: Run) -> None:
    text = GOLDEN.read_text()
    document = json.loads(text.replace("jpeg", "jp[/x]e[red]g"))
    path = write(tmp_path / "named.json", document)
    answer = run_cli("versus", path, "none", "jp[/x]e[red]g")
    assert answer.code == 0, answer.err
    assert "jp[/x]e[red]g" in answer.out
