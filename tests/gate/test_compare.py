"""The gate finds what got worse, and nothing else."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superdef_bench.core.errors import ConfigError, DataError
from superdef_bench.gate.compare import fewest, floor
from superdef_bench.gate.findings import parse_limits
from superdef_bench.results.load import load_results
from superdef_bench.results.schema import Columns
from superdef_bench.results.statistics import mcnemar, pack_counts
from tests.support.gate_documents import (
    CLEAN,
    N,
    Place,
    accuracy_of,
    document,
    only,
    report,
    right,
    saved,
)

GRAY: Place = ("jpeg", "gray_box", "pgd")


def test_the_same_results_pass() -> None:
    made = document({CLEAN: right(N, 500), GRAY: right(N, 300)})
    found = report(made, copy.deepcopy(made))
    assert not found.regressed
    assert {check.status for check in found.checks} == {"unchanged"}


@pytest.mark.parametrize(
    ("fallen", "limit", "status"),
    [
        (0, "1", "unchanged"),
        (5, "0.5", "within noise"),  # beyond the limit, and p is 0.06
        (9, "1", "regressed"),  # one row: 2 ** -8 is below 0.01
        (9, "2", "unchanged"),  # nine of 512 are 1.8 points
        (11, "2", "regressed"),
    ],
)
def test_a_fall_must_be_beyond_the_limit_and_beyond_chance(
    fallen: int, limit: str, status: str
) -> None:
    check = report(accuracy_of(500), accuracy_of(500 - fallen), f"accuracy:{limit}").checks[0]
    assert check.status == status
    assert check.change == pytest.approx(-100 * fallen / N)
    assert check.p == pytest.approx(min(1.0, 2 * 0.5**fallen))


def test_a_fall_is_that_of_images_and_not_of_sums() -> None:
    # As many rise as fall: the sum is the same, and so is the answer.
    before, after = right(N, 256), right(N, 512) & ~right(N, 256)
    check = report(document({CLEAN: before}), document({CLEAN: after})).checks[0]
    assert (check.status, check.change, check.p) == ("unchanged", 0, 1)


def test_p_values_are_corrected_over_the_whole_comparison() -> None:
    alone = report(accuracy_of(500), accuracy_of(491))
    assert alone.regressed
    others = {("jpeg", "gray_box", f"attack{i}"): right(N, 300) for i in range(40)}
    before = document({CLEAN: right(N, 500), **others})
    after = document({CLEAN: right(N, 491), **others})
    together = report(before, after)
    assert not together.regressed
    assert together.family == 41
    assert only(together, "within noise").p == pytest.approx(41 * 2 * 0.5**9)


@pytest.mark.parametrize("family", [1, 7, 34, 346])
def test_the_noise_floor_is_where_the_test_starts_to_see(family: int) -> None:
    count = fewest(family)
    p = [mcnemar(right(N, 500), right(N, 500 - c)) * family for c in (count - 1, count)]
    assert p[0] >= 0.01 > p[1]
    assert floor(N, family) == 100 * count / N
    assert floor(count - 1, family) is None


def test_rows_that_have_little_to_lose_are_said_to_be_ungateable() -> None:
    before = document(
        {CLEAN: right(N, 500), GRAY: right(N, 0), ("jpeg", "bpda", "pgd"): right(64, 5)}
    )
    found = report(before, copy.deepcopy(before))
    why = {check.what.split(",")[0]: check.why for check in found.of("ungateable")}
    assert why == {"Gray box": "nothing right that could be lost", "BPDA": "5 of 64 right"}
    assert not found.regressed


def test_what_rose_is_named() -> None:
    check = only(report(accuracy_of(400), accuracy_of(450)), "improved")
    assert "rose by 9.8 points, 78.1 % to 87.9 %" in check.why


def test_missing_rows_fail_with_the_reason_and_new_ones_do_not() -> None:
    both = document({CLEAN: right(N, 500), GRAY: right(N, 300)})
    clean = document({CLEAN: right(N, 500)})
    gone = report(both, clean)
    assert gone.regressed
    assert only(gone, "missing").why == "the results have no such row"
    row = both["accuracy"][-1]
    cell = {column: row[column] for column in Columns.model_fields if column in row}
    cell["error"] = "it\nbroke"
    failed = report(both, {**clean, "failures": [cell]})
    assert only(failed, "missing").why == "failed: it broke"
    assert only(report(clean, both), "new").what.startswith("Gray box")
    vanished = report(document({CLEAN: right(N, 500), ("rcan", "", "none"): right(N, 9)}), clean)
    check = only(vanished, "missing")
    assert (check.defense, check.what) == ("rcan", "all rows")


def test_a_worst_case_of_fewer_cells_is_missing_and_one_of_another_rung_is_not() -> None:
    worst: Place = ("jpeg", "gray_box", "worst")
    before = document({CLEAN: right(N, 500), GRAY: right(N, 300), worst: right(N, 300)})
    after = document({CLEAN: right(N, 500), worst: right(N, 500)})
    after["accuracy"][-1]["settings"] = "of fewer cells"
    gone = [check.what.partition(",")[2][:4] for check in report(before, after).of("missing")]
    assert sorted(gone) == [" pgd", " wor"]
    # Also where nothing but the worst case is gated.
    known, adaptive = (
        ("jpeg", rung, name) for rung, name in (("bpda", "pgd"), ("adaptive", "worst"))
    )
    whole = document({known: right(N, 100), adaptive: right(N, 100)})
    alone = report(whole, document({adaptive: right(N, 100)}), "accuracy:off", "adaptive:1")
    assert only(alone, "missing").what.startswith("Adaptive, worst")
    wider = document({GRAY: right(N, 300), worst: right(N, 300), known: right(N, 100)})
    found = report(wider, document({GRAY: right(N, 300), worst: right(N, 300)}))
    assert only(found, "missing").what.startswith("BPDA, pgd")


def test_a_baseline_without_rows_and_a_damaged_one_answer_nothing(tmp_path: Path) -> None:
    empty = accuracy_of(500)
    empty["accuracy"] = []
    with pytest.raises(DataError, match="the baseline has no rows"):
        report(empty, accuracy_of(500))
    for part, value in (("cost", [{}]), ("threat", None), ("defenses", 3), ("model", [])):
        path = saved(tmp_path, part, accuracy_of(500) | {part: value})
        with pytest.raises(DataError, match=f"damaged: .*{part}"):
            load_results(path)


@pytest.mark.parametrize(
    ("where", "key", "value", "told"),
    [
        ("dataset", "sha256", "0" * 64, "dataset sha256 was b75580fa6879, is 000000000000"),
        ("dataset", "images", 7, "dataset images was 24, is 7"),
        ("threat", "eps", [0.5], "threat eps was"),
        ("threat", "norm", "l2", "threat norm was linf, is l2"),
        ("model", "name", "other", "classifier was signs_resnet8, is other"),
        ("model", "weights", "v" * 64, "sha256 of the classifier's weights was"),
        ("accuracy", "settings", "others", "jpeg, clean: other settings"),
        ("accuracy", "ids_sha256", "0", "jpeg, clean: other images"),
        ("accuracy", "draws", 20, "jpeg, clean: other draws"),
    ],
)
def test_other_settings_are_not_compared(where: str, key: str, value: Any, told: str) -> None:
    before, after = accuracy_of(500), accuracy_of(500)
    part = after[where][0] if where == "accuracy" else after[where]
    part[key] = value
    with pytest.raises(DataError, match="not comparable") as error:
        report(before, after)
    assert told in error.value.message
    assert "new baseline" in error.value.hint


def test_other_images_and_another_seed_are_not_compared() -> None:
    for after, told in (
        (accuracy_of(60, 64), "n, 512 and 64"),
        ({**accuracy_of(500), "seed": 1}, "seed was 0, is 1"),
    ):
        with pytest.raises(DataError) as error:
            report(accuracy_of(500), after)
        assert told in error.value.message


def test_weights_that_nobody_knows_are_a_note() -> None:
    before = accuracy_of(500)
    del before["model"]["weights"]
    found = report(before, accuracy_of(500))
    assert not found.regressed
    assert any("weights" in note for note in found.notes)


def test_random_defenses_are_compared_by_the_mean_over_their_draws() -> None:
    def drawn(count: int, most: int = 20) -> dict[str, Any]:
        made = accuracy_of(500)
        shares = np.where(right(N, count), most, 10).astype(np.uint8)  # of twenty draws
        made["accuracy"][0] |= {"draws": 20, "shares": pack_counts(shares), "accuracy": 0.5}
        return made

    # Each image keeps half of its draws, and so the majority.
    found = report(drawn(500), drawn(480))
    check = only(found, "regressed")
    assert check.what == "clean, mean over draws"
    assert check.change == pytest.approx(-100 * 20 * 0.5 / N)
    assert check.p == pytest.approx(2 * 0.5**20)
    assert any("random defenses" in note for note in found.notes)
    assert not report(drawn(500), drawn(500, most=19), "accuracy:6").regressed
    assert report(drawn(500), drawn(500, most=19), "accuracy:4").regressed


def test_a_metric_may_have_a_limit_of_its_own_or_none() -> None:
    before = document({CLEAN: right(N, 500), GRAY: right(N, 300)})
    after = document({CLEAN: right(N, 480), GRAY: right(N, 280)})
    assert {c.metric for c in report(before, after).of("regressed")} == {"clean", "gray_box"}
    assert only(report(before, after, "clean:5"), "regressed").metric == "gray_box"
    found = report(before, after, "accuracy:off", "gray_box:1")
    assert only(found, "regressed").metric == "gray_box"
    assert found.family == 1
    quiet = report(before, after, "accuracy:off", "gmac:off", "params:off")
    assert (len(quiet.checks), quiet.family) == (0, 0)


@pytest.mark.parametrize(
    ("word", "message", "hint"),
    [
        ("accuracy", "is no METRIC:LIMIT", "accuracy:2"),
        ("acuracy:1", "unknown metric 'acuracy'", "did you mean 'accuracy'?"),
        ("accuracy:2%", "wrong unit", "write accuracy:2"),
        ("gmac:5", "wrong unit", "write gmac:5%"),
        ("gmac:many%", "is no limit", "a number from 0"),
        ("accuracy:-1", "is no limit", "a number from 0"),
        ("accuracy:nan", "is no limit", "a number from 0"),
        ("latency:inf%", "is no limit", "a number from 0"),
    ],
)
def test_limits_that_say_nothing_are_refused(word: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_limits([word])
    assert message in error.value.message
    assert hint in error.value.hint
