"""Intervals, paired tests and verdict bits. No torch."""

import base64
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.bool_]
Counts = NDArray[np.uint8]

_Z95 = 1.959963984540054
_FEWEST = 5


SIGNIFICANT = 0.05  # p of a difference that is told


def wilson(correct: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a proportion (Wilson, 1927)."""
    if n == 0:
        return 0.0, 1.0
    share, z2 = correct / n, _Z95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    # At the ends rounding may leave the proportion itself outside.
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))


def mcnemar(first: Bits, second: Bits) -> float:
    """Return the exact two-sided p value that two paired accuracies are equal (McNemar, 1947).

    Args:
        first: Whether each image is right in one row, `(n,)`.
        second: Whether the same images are right in the other.
    """
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    total = only_first + only_second
    if total == 0:
        return 1.0
    logs = [
        math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1)
        for k in range(min(only_first, only_second) + 1)
    ]
    tail = sum(math.exp(value - total * math.log(2)) for value in logs)
    return min(1.0, 2 * tail)


def binomial_tail(successes: int, n: int, share: float) -> float:
    """Return the exact probability of at least so many successes in `n` draws.

    Args:
        successes: Least number of successes.
        n: Draws.
        share: Probability of a success in each, above 0 and below 1.
    """
    if successes <= 0:
        return 1.0
    logs = (
        math.lgamma(n + 1)
        - math.lgamma(k + 1)
        - math.lgamma(n - k + 1)
        + k * math.log(share)
        + (n - k) * math.log1p(-share)
        for k in range(successes, n + 1)
    )
    return min(1.0, math.fsum(map(math.exp, logs)))


def beats(weaker: Bits, stronger: Bits) -> float:
    """Return the exact one-sided p value that a weaker attack breaks no more than a stronger one.

    Args:
        weaker: Whether each image is right under the weaker attack, `(n,)`.
        stronger: Whether the same images are right under the stronger.
    """
    only_weaker, only_stronger = int((stronger & ~weaker).sum()), int((weaker & ~stronger).sum())
    return binomial_tail(only_weaker, only_weaker + only_stronger, 0.5)


def holm(ps: Sequence[float]) -> list[float]:
    """Return p values corrected for their number, in the order given (Holm, 1979)."""
    adjusted, largest = [0.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        largest = max(largest, (len(ps) - rank) * ps[place])
        adjusted[place] = min(1.0, largest)
    return adjusted


def ratio_interval(
    first: Bits, second: Bits, *, draws: int = 10_000, seed: int = 0
) -> tuple[float, float] | None:
    """Return the 95 % interval of the ratio of two paired accuracies (percentile bootstrap).

    Images are drawn with replacement, both verdicts of an image together (Efron and Tibshirani,
    1993). None where a row gets fewer than five images right, and the two are not the same: of so
    few, resampling says little.
    """
    n = len(first)
    if min(first.sum(), second.sum()) < _FEWEST and (not first.any() or (first != second).any()):
        return None
    # Only how often each of the four pairs of verdicts is drawn matters.
    kinds = np.bincount(2 * first.astype(np.int64) + second, minlength=4)
    drawn = np.random.default_rng(seed).multinomial(n, kinds / n, size=draws)
    above, below = drawn[:, 2] + drawn[:, 3], drawn[:, 1] + drawn[:, 3]
    low, high = np.percentile((above / np.maximum(below, 1))[below > 0], [2.5, 97.5])
    return float(low), float(high)


def pack_bits(bits: Bits) -> str:
    """Return bits as base64, first image first, highest bit first."""
    return base64.b64encode(np.packbits(bits).tobytes()).decode("ascii")


def unpack_bits(text: str, n: int) -> Bits:
    """Return the `n` bits of `pack_bits`.

    Raises:
        ValueError: The text is no base64, or of another length.
    """
    data = np.frombuffer(base64.b64decode(text, validate=True), dtype=np.uint8)
    if len(data) != -(-n // 8):
        raise ValueError(f"{len(data)} bytes of verdicts for {n} images")
    return np.unpackbits(data, count=n).astype(np.bool_)


def count_bits(text: str, n: int) -> int:
    """Return how many of the `n` bits of `pack_bits` are set.

    Raises:
        ValueError: The text is no base64, or of another length.
    """
    data = base64.b64decode(text, validate=True)
    if len(data) != -(-n // 8):
        raise ValueError(f"{len(data)} bytes of verdicts for {n} images")
    return (int.from_bytes(data, "big") >> (8 * len(data) - n)).bit_count()


def worst_case(rows: Sequence[Bits]) -> Bits:
    """Return which images are right in every row, over the images that all rows have."""
    n = min(len(row) for row in rows)
    return np.logical_and.reduce([row[:n] for row in rows])


def median_with_infinity(values: NDArray[np.float64]) -> float | None:
    """Return the smallest value that at least half of all reach, None where it is infinite."""
    middle = float(np.sort(values)[(len(values) - 1) // 2]) if len(values) else math.inf
    return middle if math.isfinite(middle) else None


def pack_floats(values: NDArray[np.float64]) -> str:
    """Return numbers as base64 of little-endian float64, first image first."""
    return base64.b64encode(values.astype("<f8").tobytes()).decode("ascii")


def unpack_floats(text: str) -> NDArray[np.float64]:
    """Return the numbers of `pack_floats`."""
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f8").astype(np.float64)


def mean_interval(
    values: NDArray[np.float64], *, draws: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of a mean over images (percentile bootstrap)."""
    random = np.random.default_rng(seed)
    # Only how often each value occurs matters.
    levels, counts = np.unique(values, return_counts=True)
    drawn = random.multinomial(len(values), counts / len(values), size=draws)
    low, high = np.percentile(drawn @ levels / len(values), [2.5, 97.5])
    # Rounding may leave the mean itself outside.
    mean = float(values.mean())
    return min(mean, float(low)), max(mean, float(high))


def pack_counts(values: Counts) -> str:
    """Return counts of at most 255 as base64, one byte each."""
    return base64.b64encode(values.astype(np.uint8).tobytes()).decode("ascii")


def unpack_counts(text: str) -> Counts:
    """Return the counts of `pack_counts`."""
    return np.frombuffer(base64.b64decode(text, validate=True), dtype=np.uint8)


def pack_integers(values: NDArray[Any]) -> str:
    """Return integers as base64 of little-endian int32, first image first."""
    return base64.b64encode(values.astype("<i4").tobytes()).decode("ascii")


def unpack_integers(text: str) -> NDArray[np.int32]:
    """Return the integers of `pack_integers`."""
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<i4")
