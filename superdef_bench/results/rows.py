"""One accuracy row: its verdicts, its score, its place, its words. No torch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from superdef_bench.core.errors import ConfigError, did_you_mean
from superdef_bench.core.threats import RUNG_TITLES, SOURCED
from superdef_bench.results.schema import Results, Row
from superdef_bench.results.statistics import (
    Bits,
    mean_interval,
    unpack_bits,
    unpack_counts,
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


def verdicts(row: Row) -> Bits:
    """Return which images a row got right."""
    return unpack_bits(row["verdicts"], row["n"])


def shares(row: Row) -> NDArray[np.float64]:
    """Return the share of its draws in which a row got each image right, `(n,)`."""
    if "shares" not in row:
        return verdicts(row).astype(np.float64)
    return unpack_counts(row["shares"]) / float(row["draws"])


def score(row: Row | None, n: int | None = None) -> Score | None:
    """Return the accuracy of a row on its first `n` images, on all if None.

    The interval is Wilson's, or that of a bootstrap over images where there are several draws.
    """
    if row is None:
        return None
    right = shares(row)[:n]
    if "shares" in row:
        low, high = mean_interval(right)
    else:
        low, high = wilson(int(right.sum()), len(right))
    return Score(float(right.mean()), low, high, len(right))


_TITLES = {**RUNG_TITLES, "adaptive": "Adaptive"}


def find_row(results: Results, word: str) -> str:
    """Return the row that a word means: its name, or what stands before its brackets.

    Raises:
        ConfigError: There is none, or there are several.
    """
    names = list(results.document["defenses"])
    fitting = [n for n in names if n == word] or [n for n in names if n.startswith(f"{word} (")]
    if len(fitting) != 1:
        hint = f"it may be {' or '.join(fitting)}" if fitting else did_you_mean(word, names)
        raise ConfigError(f"{results.name} has no row {word!r}", hint=hint)
    return fitting[0]


def place_of(row: Row) -> tuple[object, ...]:
    """Return what tells the rows of a defense apart."""
    return row["rung"], row["attack"], row["eps"], _source(row)


def _source(row: Row) -> str:
    """Return what tells rows of one rung and attack apart: another name elsewhere says nothing."""
    return str(row["source"]) if row["rung"] in SOURCED else ""


def is_drawn(row: Row) -> bool:
    """Return whether a row has the mean over several draws beside its verdicts."""
    return "shares" in row


def words_of(row: Row) -> str:
    """Return rung, attack, eps and source of a row, in words."""
    if not row["rung"]:
        return "clean"
    source = f" from {_source(row)}" if _source(row) else ""
    return f"{_TITLES[row['rung']]}, {row['attack']}, {eps_text(row['eps'])}{source}"


def with_interval(value: Score | None, prefix: str = "") -> str:
    if value is None:
        return "–"
    return f"{prefix}{percent(value.accuracy)} ({100 * value.low:.0f}–{100 * value.high:.0f})"
