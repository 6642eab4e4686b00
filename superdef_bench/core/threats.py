"""The vocabulary of a benchmark: threats, rungs, kinds of attacks, words of results. No torch."""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Literal, get_args

from superdef_bench.core.errors import ConfigError

Norm = Literal["linf", "l2"]
Goal = Literal["verdict", "strength"]
Target = Literal["none", "random", "next", "least_likely"]
AttackKind = Literal["budget", "minimal", "corruption"]
Access = Literal["gradient", "scores", "labels", "none"]

NORMS: tuple[Norm, ...] = get_args(Norm)
MASKING = "masking"  # stands in place of a rung where a gradient is probed

TARGETS: tuple[Target, ...] = get_args(Target)
ATTACK_KINDS: tuple[AttackKind, ...] = get_args(AttackKind)
ATTACK_ACCESS: tuple[Access, ...] = get_args(Access)


class Rung(StrEnum):
    """What the attacker has. Listed by knowledge; not claimed to be monotone."""

    TRANSFER = "transfer"
    GRAY_BOX = "gray_box"
    SURROGATE = "surrogate"
    BLACK_BOX = "black_box"
    WHITE_BOX = "white_box"
    BPDA = "bpda"

    @property
    def replays(self) -> bool:
        """Whether examples are made without the defense and replayed on it."""
        return self in (Rung.TRANSFER, Rung.GRAY_BOX, Rung.SURROGATE)

    @property
    def climbs(self) -> bool:
        """Whether the attacker has gradients through the defense."""
        return self in (Rung.WHITE_BOX, Rung.BPDA)

    def takes(self, access: Access) -> bool:
        """Return whether attacks of this access run here; examples to replay may be any."""
        if self.climbs:
            return access == "gradient"
        return self.replays or access in ("scores", "labels")

    @property
    def goal(self) -> Goal:
        """Strength where the defense is unknown, verdict where it is known."""
        return "strength" if self.replays else "verdict"


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


def parse_eps(text: object) -> float:
    """Return the radius that `"8/255"` or `0.5` means.

    Raises:
        ConfigError: It is no positive number.
    """
    try:
        value = float(Fraction(str(text).replace(" ", "")))
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise ConfigError(f"eps {text!r} is no number", hint='write "8/255" or "0.5"') from error
    if not 0 < value < 1e6:
        raise ConfigError(f"eps {text!r} is not above 0", hint='write "8/255" or "0.5"')
    return value


GRADIENT_RUNGS = ("white_box", "bpda")
SOURCED = ("transfer", "surrogate")  # rungs whose rows there are once per source

PROBES = "masking"

WORST = "worst"
ADAPTIVE = "adaptive"
STANDING = "standing"

RUNG_TITLES = {
    "transfer": "Transfer",
    "gray_box": "Gray box",
    "surrogate": "Surrogate",
    "black_box": "Black box",
    "white_box": "White box",
    "bpda": "BPDA",
}
