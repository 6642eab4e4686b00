"""What a comparison of two results finds, and how much each metric may get worse. No torch."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from superdef_bench.core.errors import ConfigError, did_you_mean

# Of an accuracy the limit is in points, of a cost a share. `adaptive` and `gray_box` are the worst
# cases and cells of those rungs; the more specific name wins over `accuracy`.
POINTS = ("accuracy", "clean", "gray_box", "adaptive")
SHARES = ("params", "gmac", "latency")
DEFAULTS: Mapping[str, float | None] = {
    "accuracy": 1.0,
    "params": 0.01,
    "gmac": 0.01,
    "latency": 0.5,  # machines are busy now and then
}


@dataclass(frozen=True)
class Limits:
    """What is gated.

    Attributes:
        values: Points or share by metric; None for what may do as it likes.
    """

    values: Mapping[str, float | None]

    def of(self, *metrics: str) -> float | None:
        """Return the limit of the first of the metrics that has one."""
        return next((self.values[name] for name in metrics if name in self.values), None)


def parse_limits(words: Sequence[str]) -> Limits:
    """Return the default limits, changed by words such as `accuracy:2`, `gmac:5%`, `latency:off`.

    Raises:
        ConfigError: A word is of another form, or names no metric.
    """
    values = dict(DEFAULTS)
    for word in words:
        metric, colon, value = word.partition(":")
        if not colon or not value:
            raise ConfigError(
                f"--fail-on {word!r} is no METRIC:LIMIT",
                hint="write accuracy:2 for points, gmac:5% for a share, or latency:off",
            )
        if metric not in (*POINTS, *SHARES):
            hint = did_you_mean(metric, (*POINTS, *SHARES))
            raise ConfigError(f"--fail-on {word!r}: unknown metric {metric!r}", hint=hint)
        values[metric] = None if value == "off" else _number(word, metric, value)
    return Limits(values)


def _number(word: str, metric: str, value: str) -> float:
    share = metric in SHARES
    if share != value.endswith("%"):
        written = value.removesuffix("%")
        form = f"takes a share: write {metric}:{written}%"
        form = form if share else f"takes points: write {metric}:{written}"
        raise ConfigError(f"--fail-on {word!r}: the limit has the wrong unit", hint=form)
    try:
        number = float(value.removesuffix("%"))
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise ConfigError(
            f"--fail-on {word!r}: {value!r} is no limit", hint="take a number from 0, or off"
        )
    return number / 100 if share else number


Status = Literal[
    "regressed",
    "missing",
    "improved",
    "unchanged",
    "within noise",
    "ungateable",
    "not comparable",
    "new",
]
FAILS: tuple[Status, ...] = ("regressed", "missing")


@dataclass(frozen=True)
class Check:
    """One number of the baseline beside that of the results.

    Attributes:
        metric: `clean`, `gray_box`, `adaptive`, `accuracy` for cells, `params`, `gmac`, `latency`.
        defense: Row of the table.
        what: Rung, attack and eps, or scope, size and mode, in words.
        status: The answer.
        before: Of the baseline; accuracies in percent.
        after: Of the results.
        change: In points of accuracy, or as a share of the baseline's cost.
        limit: In the same unit: a change for the worse beyond it fails.
        p: Of McNemar's exact test after Holm's correction.
        n: Images.
        why: The reason, as a sentence; empty where nothing changed.
    """

    metric: str
    defense: str
    what: str
    status: Status
    before: float | None = None
    after: float | None = None
    change: float | None = None
    limit: float | None = None
    p: float | None = None
    n: int | None = None
    why: str = ""

    @property
    def fails(self) -> bool:
        return self.status in FAILS

    @property
    def title(self) -> str:
        return f"{self.defense}: {self.what}"


@dataclass(frozen=True)
class Report:
    """All checks of a comparison.

    Attributes:
        names: What was compared: baseline and results.
        checks: The checks, in the order of the tables.
        family: Accuracy rows that were tested together.
        alpha: What the corrected p must be below.
        floors: Number of images: the smallest fall in points that could be seen, None for none.
        images: How many images each of the two has, and on how many of them its rows are ranked.
        notes: What a reader should know beside.
    """

    names: tuple[str, str]
    checks: Sequence[Check]
    family: int
    alpha: float
    floors: Mapping[int, float | None]
    images: tuple[str, str] = ("", "")
    notes: Sequence[str] = ()

    @property
    def regressed(self) -> bool:
        return any(check.fails for check in self.checks)

    def of(self, *statuses: Status) -> Iterator[Check]:
        """Yield the checks with one of the statuses."""
        return (check for check in self.checks if check.status in statuses)
