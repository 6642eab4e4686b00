"""Intervals, paired tests and bits against other implementations."""

import numpy as np
import pytest
from scipy import stats

from superdef_bench.statistics import (
    mcnemar,
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
