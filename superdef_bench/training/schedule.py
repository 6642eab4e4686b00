"""Learning rates as functions of the step, so that nothing has to be stored to resume."""

import math
from collections.abc import Callable
from typing import Literal

Schedule = Literal["one_cycle", "cosine"]


def one_cycle(step: int, total: int, peak: float, *, warm_up: float = 0.25) -> float:
    """Return the learning rate of a one-cycle schedule (Smith and Topin, 2017).

    Rises along a cosine from peak / 25 for the first `warm_up` of all steps, then falls along a
    cosine to peak / 10,000.
    """
    turn = max(1.0, warm_up * total)
    if step < turn:
        low, high, part = peak / 25, peak, step / turn
    else:
        low, high, part = peak, peak / 1e4, (step - turn) / max(1.0, total - turn)
    return low + (high - low) * (1 - math.cos(math.pi * part)) / 2


def cosine(step: int, total: int, peak: float) -> float:
    """Return the learning rate that falls along half a cosine from `peak` to peak / 10,000."""
    low = peak / 1e4
    return low + (peak - low) * (1 + math.cos(math.pi * step / max(1, total))) / 2


def rate_of(schedule: Schedule, steps: int, peak: float) -> Callable[[int], float]:
    """Return the learning rate of each of `steps` steps."""
    shape = one_cycle if schedule == "one_cycle" else cosine
    return lambda step: shape(step, steps, peak)
