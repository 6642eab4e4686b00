"""How much each metric may get worse before the gate fails. No torch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from superdef_bench.errors import ConfigError
from superdef_bench.suggest import did_you_mean

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
