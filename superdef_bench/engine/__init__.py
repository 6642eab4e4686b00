"""Attack algorithms, without any attack library."""

from superdef_bench.engine.ascent import (
    AscentAttack,
    Region,
    ascend,
    check_counts,
    project,
    random_start,
    steepest,
)
from superdef_bench.engine.foreign import Constructor, Seen
from superdef_bench.engine.gradient import Look, Loss, look
from superdef_bench.engine.hopskipjump import hop_skip_jump
from superdef_bench.engine.losses import cross_entropy, dlr, margin
from superdef_bench.engine.search import Batch, Search
from superdef_bench.engine.square import square_search

__all__ = [
    "AscentAttack",
    "Batch",
    "Constructor",
    "Look",
    "Loss",
    "Region",
    "Search",
    "Seen",
    "ascend",
    "check_counts",
    "cross_entropy",
    "dlr",
    "hop_skip_jump",
    "look",
    "margin",
    "project",
    "random_start",
    "square_search",
    "steepest",
]
