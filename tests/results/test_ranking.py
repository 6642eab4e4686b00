"""Ranks by paired tests, and what keeps a row out of them."""

import numpy as np
import pytest

from superdef_bench.results.ranking import images_text, like_for_like, rank, ranked_images
from superdef_bench.results.rows import score, shares
from superdef_bench.results.statistics import pack_floats
from tests.support.ranked import EPS, Document, bits, drawn, judged
from tests.support.rows import row_of


def ranks(document: Document) -> list[tuple[int | None, str]]:
    return [(standing.rank, standing.defense) for standing in rank(document.results())]


def test_rows_share_a_rank_until_a_paired_test_tells_them_apart() -> None:
    document = Document()
    # From 200 down, 5 paired differences give p = 0.0625 and 6 give p = 0.03125.
    for name, adaptive in [("a", 200), ("b", 195), ("c", 194), ("d", 188), ("e", 100)]:
        document.defense(name, adaptive)
    assert ranks(document) == [(1, "a"), (1, "b"), (3, "c"), (4, "d"), (5, "e")]
    document.defense("f", 399, missing=("bpda pgd: too slow",))
    places = [standing.place for standing in rank(document.results())]
    assert places == ["1=", "1=", "3", "4", "5", "–"]


def test_within_a_group_adaptive_accuracy_median_eps_clean_accuracy_and_cost_decide() -> None:
    document = Document()
    document.defense("cheap", 200, gmac=0.5, median_eps=0.02)
    document.defense("dear", 200, gmac=5.0, median_eps=0.02)
    document.defense("clean", 200, clean=399, median_eps=0.02)
    document.defense("far", 200, clean=100, median_eps=0.03)
    document.defense("beyond", 200, clean=100, median_eps=None)
    document.defense("holds", 201, clean=100, gmac=9.0, median_eps=0.01)
    document.defense("falls", 199, clean=400, gmac=0.1, median_eps=None)
    expected = ["holds", "beyond", "far", "clean", "cheap", "dear", "falls"]
    assert ranks(document) == [(1, name) for name in expected]


def test_a_random_row_stands_in_its_group_by_the_accuracy_that_tables_show() -> None:
    document = Document().defense("fixed", 199).defense("random", 200)
    document.rows[-1].update(drawn(np.where(bits(200), 3, 0), 5))  # 200 by majority, 120 by mean
    assert ranks(document) == [(1, "fixed"), (1, "random")]


def test_one_text_says_how_many_images_are_ranked() -> None:
    document = Document().defense("few", 40, n=64, clean=64, gray=64).defense("many", 63)
    results = document.results()
    assert ranked_images(rank(results)) == 64
    assert images_text(results, rank(results)) == "24 images, ranked on 64"
    document = Document().defense("a", 40, missing=("x",))
    assert images_text(document.results(), rank(document.results())) == "24 images, no row ranked"


def test_incomplete_rows_stand_below_and_never_gain() -> None:
    document = Document().defense("slow", 399, missing=("bpda pgd: too slow",))
    document.defense("weak", 10)
    assert ranks(document) == [(1, "weak"), (None, "slow")]
    assert list(rank(document.results())[1].reasons) == ["bpda pgd: too slow"]


def test_ranks_use_the_images_that_all_ranked_rows_have() -> None:
    document = Document().defense("few", 40, n=64, clean=64, gray=64)
    document.defense("many", 63)
    first, second = rank(document.results())
    assert (first.defense, second.defense) == ("many", "few")
    assert first.adaptive is not None
    assert (first.adaptive.n, first.adaptive.accuracy) == (64, 63 / 64)


def test_the_median_eps_is_that_of_the_shared_images() -> None:
    document = Document().defense("short", 3, n=4, median_eps=0.02).defense("long", 3, n=8)
    half = pack_floats(np.array([0.01, 0.01, 0.01, np.inf, np.inf, np.inf, np.inf, np.inf]))
    document.rows[-1]["smallest_eps"] = half
    shown = {standing.defense: standing for standing in rank(document.results())}
    assert shown["long"].adaptive is not None
    assert shown["long"].adaptive.n == 4
    assert shown["long"].median_eps == 0.01
    assert [standing.defense for standing in rank(document.results())] == ["short", "long"]


def test_gaps_are_gray_minus_adaptive_and_like_for_like_per_attack() -> None:
    document = Document().defense("a", 100, gray=300)
    document.row("a", "gray_box", "pgd", bits(320))
    document.row("a", "white_box", "pgd", bits(140))
    document.row("a", "bpda", "pgd", bits(120))
    (standing,) = rank(document.results())
    assert standing.illusion == pytest.approx(0.5)
    fall = like_for_like(document.results(), "a", EPS[-1])
    assert fall is not None
    assert fall[0] == pytest.approx(0.5)
    assert fall[1] == "pgd"


def test_rows_of_other_sources_and_probes_are_no_worst_cases() -> None:
    document = Document().defense("a", 100).defense("b", 90)
    before = rank(document.results())
    for source in ("rcan", "edsr"):
        document.row("a", "surrogate", "pgd", bits(5), source=source)
        document.row("a", "transfer", "pgd", bits(5), source=source)
    document.row("a", "masking", "pgd", bits(0), source="a")
    assert rank(document.results()) == before
    assert like_for_like(document.results(), "a", EPS[-1]) is None


def test_the_accuracy_of_several_draws_is_their_mean() -> None:
    counts = np.array([4, 3, 2, 1, 0, 4, 4, 4] * 50)
    row = row_of(counts >= 2, **drawn(counts, 4))
    np.testing.assert_array_equal(shares(row), counts / 4)
    whole, half = score(row), score(row, 200)
    assert whole is not None
    assert half is not None
    assert whole.accuracy == half.accuracy == counts.sum() / 1600
    # The interval of a mean of so many images is close to the normal one.
    error = 1.96 * (counts / 4).std() / 20
    assert whole.low == pytest.approx(whole.accuracy - error, abs=0.003)
    assert whole.high == pytest.approx(whole.accuracy + error, abs=0.003)
    assert half.high - half.low == pytest.approx(2 * error * 2**0.5, abs=0.006)
    assert score(row) == whole


def test_an_image_that_every_draw_gets_right_leaves_no_doubt() -> None:
    found = score(row_of(bits(400), **drawn([7] * 400, 7)))
    assert found is not None
    assert (found.accuracy, found.low, found.high) == (1.0, 1.0, 1.0)


def test_ranks_go_by_the_majority_and_columns_by_the_mean() -> None:
    document = Document().defense("fixed", 190).defense("random", 200)
    document.rows[-1].update(drawn(np.where(bits(200), 3, 0), 5))
    first, second = rank(document.results())
    assert [first.defense, second.defense] == ["random", "fixed"]
    assert (first.rank, second.rank) == (1, 2)
    assert first.adaptive is not None
    assert first.adaptive.accuracy == pytest.approx(0.5 * 3 / 5)


def test_like_for_like_is_a_fall_of_means_where_there_are_draws() -> None:
    document = Document().defense("a", 100)
    document.row("a", "gray_box", "pgd", bits(300), **drawn(np.where(bits(300), 4, 2), 4))
    document.row("a", "white_box", "pgd", bits(200), **drawn(np.where(bits(200), 3, 0), 4))
    found = like_for_like(document.results(), "a", EPS[-1])
    assert found is not None
    assert found[0] == pytest.approx((0.75 + 0.25 / 2) - 0.5 * 3 / 4)


def test_a_row_whose_gradient_fails_stands_below_with_its_number_and_limits_no_other() -> None:
    document = Document().defense("masked", 60, n=64, clean=64, gray=64).defense("weak", 10)
    document.defense("dubious", 20)
    why = ("black box beats gradients", "one step beats many")
    document.defenses["masked"]["masking"] = judged("fail", *why, why[0])
    document.defenses["dubious"]["masking"] = judged("suspect")
    results = document.results()
    assert ranks(document) == [(1, "dubious"), (2, "weak"), (None, "masked")]
    standing = rank(results)[-1]
    assert standing.adaptive is not None
    assert (standing.adaptive.accuracy, standing.adaptive.n) == (60 / 64, 64)
    assert list(standing.reasons) == [f"masking: fail - {why[0]}, {why[1]}"]
    assert ranked_images(rank(results)) == 400


def test_the_verdict_is_the_first_reason_and_needs_no_check_to_be_said() -> None:
    document = Document().defense("a", 60, missing=("bpda pgd: too slow",)).defense("b", 10)
    document.defenses["a"]["masking"] = judged("fail")
    (standing,) = (s for s in rank(document.results()) if s.defense == "a")
    assert list(standing.reasons) == ["masking: fail", "bpda pgd: too slow"]
