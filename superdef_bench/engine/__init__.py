"""Attack algorithms, without any attack library."""

from superdef_bench.engine.apgd import auto_pgd
from superdef_bench.engine.ascent import (
    AscentAttack,
    Region,
    ascend,
    check_counts,
    project,
    random_start,
    steepest,
)
from superdef_bench.engine.boundary import fab
from superdef_bench.engine.foreign import Constructor, Seen
from superdef_bench.engine.gradient import Look, Loss, look
from superdef_bench.engine.hopskipjump import hop_skip_jump
from superdef_bench.engine.losses import (
    cross_entropy,
    dlr,
    margin,
    probability_margin,
    targeted_ratio,
)
from superdef_bench.engine.margin_ascent import climb_near_classes, climb_probabilities
from superdef_bench.engine.search import Batch, Search
from superdef_bench.engine.sequence import Part, in_sequence
from superdef_bench.engine.square import square_search
from superdef_bench.engine.targets import logits_of, near_classes

__all__ = [
    "AscentAttack",
    "Batch",
    "Constructor",
    "Look",
    "Loss",
    "Part",
    "Region",
    "Search",
    "Seen",
    "ascend",
    "auto_pgd",
    "check_counts",
    "climb_near_classes",
    "climb_probabilities",
    "cross_entropy",
    "dlr",
    "fab",
    "hop_skip_jump",
    "in_sequence",
    "logits_of",
    "look",
    "margin",
    "near_classes",
    "probability_margin",
    "project",
    "random_start",
    "square_search",
    "steepest",
    "targeted_ratio",
]
