"""Deep Image Prior: what an untrained network draws of an image before its noise."""

from superdef_bench.nn.skip import PUBLISHED, SMALL, SkipShape
from superdef_bench.prior.fit import PriorFit, shape_for
from superdef_bench.prior.restore import follow, restore
from superdef_bench.prior.rules import MOST, RULES, STEPS, Stop, rule_of
from superdef_bench.prior.stopping import Plateau, Static, StopRule, Subsample, Variance

__all__ = [
    "MOST",
    "PUBLISHED",
    "RULES",
    "SMALL",
    "STEPS",
    "Plateau",
    "PriorFit",
    "SkipShape",
    "Static",
    "Stop",
    "StopRule",
    "Subsample",
    "Variance",
    "follow",
    "restore",
    "rule_of",
    "shape_for",
]
