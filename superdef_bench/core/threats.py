"""The vocabulary of a benchmark: threats, rungs, kinds of attacks, words of results. No torch."""

import re
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Literal, get_args

from superdef_bench.core.errors import ConfigError

Norm = Literal["linf", "l2"]
Goal = Literal["verdict", "strength"]
Target = Literal["none", "random", "next", "least_likely"]
Layout = Literal["contiguous", "channels_last"]
DefenseKind = Literal["random", "deterministic"]
# The rows that an attack runs against: all, those of a kind, or those named.
Only = DefenseKind | tuple[str, ...] | None

NORMS: tuple[Norm, ...] = get_args(Norm)
GOALS: tuple[Goal, ...] = get_args(Goal)
TARGETS: tuple[Target, ...] = get_args(Target)
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
DEFENSE_KINDS: tuple[DefenseKind, ...] = get_args(DefenseKind)
RANDOM: DefenseKind = "random"
CONTIGUOUS: Layout = "contiguous"
CHANNELS_LAST: Layout = "channels_last"

LARGEST_INTEGER = 2**63 - 1  # of 64 bits, as TOML, records and tensors have them
LARGEST_EPS = 1e6  # far beyond any image: the l2 norm of a million pixels is a thousand

# Words of a row that stand in place of a name.
UNDEFENDED = "none"  # of a defense: the bare classifier
NO_ATTACK = "none"  # of an attack: the image as it is
NO_TARGET: Target = "none"  # of a target: any wrong label
WORST = "worst"  # of an attack: the worst case over all
CLEAN = "clean"  # what a row without a rung is called
ADAPTIVE = "adaptive"  # of a rung: the worst case over all
MASKING = "masking"  # of a rung: a gradient is probed
STANDING = "standing"  # of a rung that broke an image: none did


def is_called(row: str, name: str) -> bool:
    """Return whether a row has a name, with or without what stands in brackets behind it."""
    return row == name or row.startswith(f"{name} (")


def is_among(only: Only, row: str, *, stochastic: bool) -> bool:
    """Return whether a row is one of those that an attack runs against."""
    if only is None:
        return True
    if isinstance(only, str):
        return (only == RANDOM) == stochastic
    return any(is_called(row, name) for name in only)


def only_text(only: Only) -> str:
    """Return the words for the rows that an attack runs against; none where that is all."""
    if only is None:
        return ""
    return f"{only} defenses only" if isinstance(only, str) else f"{', '.join(only)} only"


class AttackKind(StrEnum):
    """What an attack looks for: the highest loss in a ball, the smallest perturbation, nothing."""

    BUDGET = "budget"
    MINIMAL = "minimal"
    CORRUPTION = "corruption"


class Access(StrEnum):
    """What an attack asks a classifier for."""

    GRADIENT = "gradient"
    SCORES = "scores"
    LABELS = "labels"
    NONE = "none"


class Rung(StrEnum):
    """What the attacker has. Listed by knowledge; not claimed to be monotone."""

    TRANSFER = "transfer"
    GRAY_BOX = "gray_box"
    SURROGATE = "surrogate"
    BLACK_BOX = "black_box"
    WHITE_BOX = "white_box"
    BPDA = "bpda"

    @property
    def title(self) -> str:  # type: ignore[override]  # a title of the field, not a method of text
        """What tables call it."""
        return "BPDA" if self is Rung.BPDA else self.value.replace("_", " ").capitalize()

    @property
    def replays(self) -> bool:
        """Whether examples are made without the defense and replayed on it."""
        return self in (Rung.TRANSFER, Rung.GRAY_BOX, Rung.SURROGATE)

    @property
    def sourced(self) -> bool:
        """Whether examples may be made on several sources, a row for each."""
        return self in (Rung.TRANSFER, Rung.SURROGATE)

    @property
    def climbs(self) -> bool:
        """Whether the attacker has gradients through the defense."""
        return self in (Rung.WHITE_BOX, Rung.BPDA)

    def takes(self, access: str) -> bool:
        """Return whether attacks of this access run here; examples to replay may be any."""
        if self.climbs:
            return access == Access.GRADIENT
        return self.replays or access in (Access.SCORES, Access.LABELS)

    @property
    def goal(self) -> Goal:
        """Strength where the defense is unknown, verdict where it is known."""
        return "strength" if self.replays else "verdict"


RUNGS = tuple(Rung)
GRADIENT_RUNGS = tuple(rung for rung in Rung if rung.climbs)


@dataclass(frozen=True)
class Threat:
    """The ball an attack must stay in.

    Args:
        norm: `linf` or `l2`, on images in [0, 1].
        eps: Radius; None for attacks that look for the smallest perturbation.
    """

    norm: Norm
    eps: float | None

    @property
    def limit(self) -> float:
        """Largest measured distance that counts as inside: eps with room for float32."""
        return float("inf") if self.eps is None else self.eps * (1 + 1e-5) + 1e-6


# Two numbers of twenty digits, or one with an exponent: more would name no other radius, and
# "1e99999999" takes minutes to write out as a fraction.
_RADIUS = re.compile(r"[+-]?[0-9_]{0,20}(\.[0-9_]{0,40})?(e[+-]?[0-9]{1,3})?(/[0-9]{1,20})?", re.I)


def parse_eps(text: object) -> float:
    """Return the radius that `"8/255"` or `0.5` means.

    Raises:
        ConfigError: It is no positive number.
    """
    hint = 'write "8/255" or "0.5"'
    written = _written(text)
    try:
        if not _RADIUS.fullmatch(written):
            raise ValueError(written)
        value = float(Fraction(written))
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise ConfigError(f"eps {_short(written)!r} is no number", hint=hint) from error
    if value <= 0:
        raise ConfigError(f"eps {_short(written)!r} is not above 0", hint=hint)
    if value >= LARGEST_EPS:
        raise ConfigError(f"eps {_short(written)!r} is not below {LARGEST_EPS:,.0f}", hint=hint)
    return value


def _written(text: object) -> str:
    if not isinstance(text, str | int | float) or isinstance(text, bool):
        return type(text).__name__
    try:
        return str(text).replace(" ", "")
    except ValueError:  # a number of thousands of digits
        return "of thousands of digits"


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}..."
