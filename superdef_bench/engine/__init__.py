"""The attack engine: gradients, best iterates and packing; imports no attack library."""

from superdef_bench.engine.ascent import ascend, project, random_start, steepest
from superdef_bench.engine.gradient import Look, look
from superdef_bench.engine.losses import cross_entropy
from superdef_bench.engine.search import Batch, Search

__all__ = [
    "Batch",
    "Look",
    "Search",
    "ascend",
    "cross_entropy",
    "look",
    "project",
    "random_start",
    "steepest",
]
