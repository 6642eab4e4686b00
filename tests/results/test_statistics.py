"""Intervals, paired tests and bits against other implementations."""

import numpy as np
import pytest
from scipy import stats

from superdef_bench.results.statistics import (
    beats,
    binomial_tail,
    holm,
    mcnemar,
    mean_interval,
    median_with_infinity,
    pack_bits,
    unpack_bits,
    wilson,
    worst_case,
)


@pytest.mark.parametrize(("correct", "n"), [(0, 10), (3, 10), (81, 263), (1000, 1000), (1, 1)])
def test_wilson_is_the_one_of_scipy(correct: int, n: int) -> None:
    expected = stats.binomtest(correct, n).proportion_ci(method="wilson")
    assert wilson(correct, n) == pytest.approx((expected.low, expected.high), abs=1e-9)
    low, high = wilson(correct, n)
    assert low <= correct / n <= high


def test_wilson_of_nothing_says_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (5, 0), (3, 9), (40, 25), (700, 650)])
def test_mcnemar_is_the_exact_binomial_test(b: int, c: int) -> None:
    first = np.array([True] * b + [False] * c + [True, False])
    second = np.array([False] * b + [True] * c + [True, False])
    expected = stats.binomtest(min(b, c), b + c).pvalue if b + c else 1.0
    assert mcnemar(first, second) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(first, second) == mcnemar(second, first)


def test_bits_survive_and_damage_is_seen() -> None:
    bits = np.array([True, False, True, True, False, False, True, False, True, True])
    assert np.array_equal(unpack_bits(pack_bits(bits), 10), bits)
    with pytest.raises(ValueError, match="2 bytes of verdicts for 20 images"):
        unpack_bits(pack_bits(bits), 20)
    with pytest.raises(ValueError, match="base64"):
        unpack_bits("?", 1)


def test_worst_case_is_per_image_over_what_all_rows_have() -> None:
    rows = [np.array([True, True, False, True]), np.array([True, False, True])]
    assert worst_case(rows).tolist() == [True, False, False]


def test_a_median_beyond_all_radii_is_none() -> None:
    assert median_with_infinity(np.array([0.0, 0.1, np.inf])) == pytest.approx(0.1)
    assert median_with_infinity(np.array([0.1, np.inf, np.inf])) is None


def test_a_binomial_tail_by_hand() -> None:
    assert binomial_tail(3, 4, 0.5) == pytest.approx((4 + 1) / 16, rel=1e-12)
    assert binomial_tail(2, 2, 0.1) == pytest.approx(0.01, rel=1e-12)
    assert binomial_tail(1, 3, 0.25) == pytest.approx(1 - 0.75**3, rel=1e-12)
    assert [binomial_tail(0, n, 0.3) for n in (0, 5, 64, 256, 1000)] == [1.0] * 5
    assert binomial_tail(1, 0, 0.3) == 0.0


@pytest.mark.parametrize(
    ("successes", "n", "share"),
    [
        *((1, 1, 0.05), (7, 64, 0.05), (64, 64, 0.05), (30, 64, 0.25), (90, 1000, 0.05)),
        *((5100, 10_000, 0.5), (9000, 10_000, 0.5), (400, 10_000, 0.05), (1, 10_000, 1e-6)),
    ],
)
def test_a_binomial_tail_is_the_one_of_scipy(successes: int, n: int, share: float) -> None:
    expected = stats.binomtest(successes, n, share, alternative="greater").pvalue
    assert binomial_tail(successes, n, share) == pytest.approx(expected, rel=1e-8, abs=0)


def test_a_tail_too_small_for_a_number_is_zero_and_a_sure_one_is_one() -> None:
    assert binomial_tail(5000, 5000, 0.05) == 0.0
    assert binomial_tail(1, 50_000, 0.5) <= 1.0
    assert binomial_tail(1, 50_000, 0.5) == pytest.approx(1.0, rel=1e-8)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (0, 6), (6, 0), (9, 3), (3, 9), (700, 650)])
def test_beats_is_the_upper_half_of_the_exact_test(b: int, c: int) -> None:
    weaker = np.array([False] * b + [True] * c + [True, False])
    stronger = np.array([True] * b + [False] * c + [True, False])
    wanted = stats.binomtest(b, b + c, alternative="greater").pvalue if b + c else 1.0
    assert beats(weaker, stronger) == pytest.approx(wanted, rel=1e-9)
    if b > c:
        assert beats(weaker, stronger) == pytest.approx(mcnemar(weaker, stronger) / 2, rel=1e-9)


@pytest.mark.parametrize("n", [64, 128, 256])
@pytest.mark.parametrize("draws", [3, 5, 7, 10])
def test_the_interval_of_equal_values_has_their_mean_in_it(n: int, draws: int) -> None:
    for count in range(draws + 1):
        values = np.full(n, count / draws)
        low, high = mean_interval(values, draws=100)
        assert low <= values.mean() <= high
        assert high - low < 1e-12


def test_the_interval_of_a_mean_is_about_the_normal_one() -> None:
    values = np.repeat([0.0, 0.25, 1.0], [100, 200, 100])
    low, high = mean_interval(values)
    error = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((0.375 - error, 0.375 + error), abs=0.003)
    assert mean_interval(values) == (low, high)


def test_holm_by_hand() -> None:
    # Sorted: 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1; the last may not fall below the third.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02], rel=1e-12)
    assert holm([0.7, 0.6]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([0.02, 0.02]) == [0.04, 0.04]
    assert holm([]) == []
