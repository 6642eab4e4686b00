"""One accuracy row: its verdicts, its score, its words. No torch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from superdef_bench.core.errors import ConfigError, did_you_mean
from superdef_bench.core.threats import CLEAN, is_called
from superdef_bench.results.schema import AccuracyRow, Results
from superdef_bench.results.statistics import (
    Bits,
    mean_interval,
    unpack_bits,
    unpack_counts,
    unpack_floats,
    wilson,
)
from superdef_bench.results.text import eps_text, percent


@dataclass(frozen=True)
class Score:
    """An accuracy on the first `n` images of a row.

    Attributes:
        low: Lower end of the 95 % interval.
        high: Upper end.
    """

    accuracy: float
    low: float
    high: float
    n: int


def verdicts(row: AccuracyRow) -> Bits:
    """Return which images a row got right."""
    return unpack_bits(row.verdicts, row.n)


def shares(row: AccuracyRow) -> NDArray[np.float64]:
    """Return the share of its draws in which a row got each image right, `(n,)`."""
    if row.shares is None:
        return verdicts(row).astype(np.float64)
    return unpack_counts(row.shares) / float(row.draws)


def smallest_eps(row: AccuracyRow) -> NDArray[np.float64]:
    """Return the smallest eps that broke each image of a worst case; inf where none did."""
    return unpack_floats(row.smallest_eps or "")


def score(row: AccuracyRow | None, n: int | None = None) -> Score | None:
    """Return the accuracy of a row on its first `n` images, on all if None.

    The interval is Wilson's, or that of a bootstrap over images where there are several draws.
    """
    return None if row is None else score_of(shares(row)[:n], drawn=is_drawn(row))


def score_of(right: NDArray[np.float64], *, drawn: bool) -> Score:
    """Return the accuracy of images, with the interval that `score` gives it.

    Args:
        right: Share of the draws in which each is right, `(n,)`.
        drawn: Whether there are several draws.
    """
    low, high = mean_interval(right) if drawn else wilson(int(right.sum()), len(right))
    return Score(float(right.mean()), low, high, len(right))


def find_row(results: Results, word: str) -> str:
    """Return the row that a word means: its name, or what stands before its brackets.

    Raises:
        ConfigError: There is none, or there are several.
    """
    names = list(results.defenses)
    fitting = [n for n in names if n == word] or [n for n in names if is_called(n, word)]
    if len(fitting) != 1:
        hint = f"it may be {' or '.join(fitting)}" if fitting else did_you_mean(word, names)
        raise ConfigError(f"{results.name} has no row {word!r}", hint=hint)
    return fitting[0]


def is_drawn(row: AccuracyRow) -> bool:
    """Return whether a row has the mean over several draws beside its verdicts."""
    return row.shares is not None


def words_of(row: AccuracyRow) -> str:
    """Return rung, attack, eps and source of a row, in words."""
    if not row.rung:
        return CLEAN
    source = f" from {row.made_on}" if row.made_on else ""
    return f"{row.rung_title}, {row.attack}, {eps_text(row.eps)}{source}"


def with_interval(value: Score | None, prefix: str = "") -> str:
    if value is None:
        return "–"
    return f"{prefix}{percent(value.accuracy)} ({100 * value.low:.0f}–{100 * value.high:.0f})"
