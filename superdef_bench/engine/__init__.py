"""The attack engine: gradients, best iterates and packing; imports no attack library."""

from superdef_bench.engine.ascent import ascend, project, random_start, steepest
from superdef_bench.engine.attack import AscentAttack, check_counts
from superdef_bench.engine.gradient import Look, Loss, look
from superdef_bench.engine.losses import cross_entropy, dlr, margin
from superdef_bench.engine.search import Batch, Search

__all__ = [
    "AscentAttack",
    "Batch",
    "Look",
    "Loss",
    "Search",
    "ascend",
    "check_counts",
    "cross_entropy",
    "dlr",
    "look",
    "margin",
    "project",
    "random_start",
    "steepest",
]
