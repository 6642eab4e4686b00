"""What a gradient is checked for: the comparisons and the questions, declared. No torch."""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["pass", "suspect", "fail"]


@dataclass(frozen=True)
class Duel:
    """A weaker rung against the first of the stronger ones that has rows.

    Attributes:
        suffix: What the weaker one's attacks are called beside their names.
        alike: Whether only attacks that both have are compared.
        each: Whether every rung and source of the weaker is a comparison of its own: of several
            replays together one is lucky.
    """

    name: str
    weaker: tuple[str, ...]
    suffix: str
    stronger: tuple[str, ...] = ("white_box", "bpda")
    alike: bool = True
    each: bool = False


@dataclass(frozen=True)
class Pair:
    """A weaker probe against a stronger one, each with the words for it.

    Attributes:
        ceiling: `suspect` where the suite, not the gradient, would be what is weak.
        draws: Only asked of stochastic defenses.
    """

    name: str
    weaker: tuple[str, str]
    stronger: tuple[str, str]
    ceiling: Outcome = "fail"
    draws: bool = False


@dataclass(frozen=True)
class Share:
    """A probe of which few images may be bad.

    Attributes:
        bad: The bit of a bad image.
        evidence: What is so on a bad image.
        tolerated: Share of bad images that proves nothing.
        chance: Whether random answers are bad images too: tolerated of stochastic defenses.
        right: Whether only images count that are right without attack.
    """

    name: str
    probe: str
    evidence: str
    bad: bool = False
    tolerated: float = 0.05
    chance: bool = False
    right: bool = False


KNOWING = {"white_box": " with exact gradients", "bpda": " with BPDA gradients"}
_TRANSFERRED = ("transfer", "gray_box", "surrogate")
DUELS = (
    Duel("black box beats gradients", ("black_box",), "", alike=False),
    Duel("transfer beats gradients", _TRANSFERRED, " made elsewhere", each=True),
    Duel("BPDA beats exact gradients", ("bpda",), KNOWING["bpda"], ("white_box",)),
)
_MANY = ("many_steps", "PGD with many steps")
_CROSS = ("many_steps", "cross-entropy")
PAIRS = (
    Pair("one step beats many", ("one_step", "one step"), _MANY),
    Pair("margin loss beats cross-entropy", ("margin", "the margin loss"), _CROSS, "suspect"),
    Pair("noise beats gradients", ("noise", "random noise"), _MANY),
    Pair(
        "more draws beat fewer",
        ("eot_2k", "twice the draws per gradient"),
        ("eot_k", "the usual number of draws"),
        ceiling="suspect",
        draws=True,
    ),
)
_UNUSABLE = "the gradient of {} is zero or not finite"
SHARES = (
    Share(
        "a large ball leaves images standing",
        "unbounded",
        "an attack free to change every pixel fails",
        bad=True,
        chance=True,
    ),
    Share("cross-entropy gradient is unusable", "ce_gradient", _UNUSABLE.format("cross-entropy")),
    # Where the label ranks third the loss is 1 by its definition, and its gradient rightly 0.
    Share("DLR gradient is unusable", "dlr_gradient", _UNUSABLE.format("the DLR loss"), right=True),
    Share(
        "autograd against finite difference",
        "finite_difference",
        "autograd disagrees with a finite difference",
        tolerated=0.25,
    ),
    Share(
        "answers change from call to call",
        "repeat",
        "the answer to the same question changes",
    ),
    Share(
        "answers change when a gradient is asked for",
        "asked",
        "the answer changes when a gradient is asked for",
    ),
)
