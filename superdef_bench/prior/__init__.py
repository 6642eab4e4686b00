"""Deep Image Prior: what an untrained network draws of an image before its noise."""

from superdef_bench.nn.skip import PUBLISHED, SMALL, SkipShape
from superdef_bench.prior.fit import PriorFit, shape_for
from superdef_bench.prior.restore import follow, restore
from superdef_bench.prior.stopping import Plateau, Static, StopRule, Subsample, Variance

__all__ = [
    "PUBLISHED",
    "SMALL",
    "Plateau",
    "PriorFit",
    "SkipShape",
    "Static",
    "StopRule",
    "Subsample",
    "Variance",
    "follow",
    "restore",
    "shape_for",
]
