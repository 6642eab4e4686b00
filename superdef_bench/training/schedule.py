"""Learning rates as functions of the step, so that nothing has to be stored to resume."""

import math


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
