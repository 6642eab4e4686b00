"""The rules by name, with their settings for each network."""

from collections.abc import Callable
from functools import partial
from typing import Literal, get_args

from superdef_bench.nn.skip import PUBLISHED, SMALL, SkipShape
from superdef_bench.prior.stopping import Plateau, Static, StopRule, Subsample, Variance

Stop = Literal["static", "eswmv", "subsample", "plateau"]
RULES: tuple[Stop, ...] = get_args(Stop)

# Steps of `static`: those of the poster at 224 pixels; for the small network the steps by which
# most images of 32 pixels are right again.
STEPS = {PUBLISHED: 1750, SMALL: 120}
# Steps after which every fit ends.
MOST = {PUBLISHED: 3000, SMALL: 800}


def rule_of(stop: Stop, shape: SkipShape, steps: int) -> Callable[[], StopRule]:
    """Return what makes the rule of a name for a network.

    Args:
        stop: Its name.
        shape: Size of the network.
        steps: Of `static`.
    """
    small = shape == SMALL
    rules: dict[Stop, Callable[[], StopRule]] = {
        "static": partial(Static, steps),
        "eswmv": partial(Variance, 30 if small else 100, 100 if small else 1000),
        "subsample": partial(Subsample, 50 if small else 200, warm_up=50 if small else 100),
        "plateau": partial(Plateau, 50 if small else 100),
    }
    return rules[stop]
