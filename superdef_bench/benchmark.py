"""A config, built: dataset, classifier, attacks and defenses, each with its key."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch

from superdef_bench.errors import ConfigError
from superdef_bench.fields import parse_eps
from superdef_bench.transform import Protected
from superdef_bench.types import Attack, Dataset, Norm, Rung, Task, Threat

if TYPE_CHECKING:
    from superdef_bench.config import Config


@dataclass(frozen=True)
class BuiltAttack:
    """An attack as the config wants it.

    Attributes:
        counted: Whether it takes part in worst cases, ranks and completeness.
        batch_dependent: None where the attack does not say.
    """

    name: str
    attack: Attack
    arguments: Mapping[str, Any]
    fingerprint: str
    norm: Norm
    eps: tuple[str, ...]
    rungs: tuple[Rung, ...]
    limit: int | None
    counted: bool

    @property
    def batch_dependent(self) -> bool | None:
        return getattr(self.attack, "batch_dependent", None)

    @property
    def aims(self) -> bool:
        """Whether it is scored by its target in a targeted benchmark; plain noise has none."""
        return self.attack.kind != "corruption" or getattr(self.attack, "targeted", False)

    @property
    def threats(self) -> tuple[tuple[str, Threat], ...]:
        """Each eps as written, with its threat; one without a ball where the attack has none."""
        if self.attack.kind != "budget":
            return (("", Threat(self.norm, None)),)
        return tuple((text, Threat(self.norm, parse_eps(text))) for text in self.eps)

    def passes(self, threat: Threat) -> tuple[int, int] | None:
        """Return the most forwards and backwards per image, if the attack knows."""
        counts = getattr(self.attack, "passes", None)
        return None if counts is None else cast(tuple[int, int], counts(threat))


@dataclass(frozen=True)
class BuiltDefense:
    """A protected classifier as the config wants it.

    Attributes:
        name: Name of the row; it says what becomes of a changed size.
        seconds: Measured time of a forward pass per image; 0 where it failed.
    """

    name: str
    protected: Protected
    arguments: Mapping[str, Any]
    fingerprint: str
    differentiable: bool
    replaces: bool
    limit: int | None
    seconds: float

    @property
    def stochastic(self) -> bool:
        return self.protected.stochastic

    def applies(self, rung: Rung) -> str:
        """Return why a rung does not apply to this defense, or nothing."""
        if rung is Rung.WHITE_BOX and not self.differentiable:
            return "no exact gradient"
        if rung is Rung.BPDA and not self.protected.transforms:
            return "no stages to go around"
        return ""


@dataclass(frozen=True)
class Benchmark:
    """A config, built."""

    config: "Config"
    dataset: Dataset
    task: Task
    bare: Protected
    attacks: tuple[BuiltAttack, ...]
    defenses: tuple[BuiltDefense, ...]
    device: torch.device

    @property
    def limit(self) -> int:
        """Images to run: as many as the config asks for and the dataset has."""
        return min(self.config.limit, len(self.dataset.ids))


def choose_device(name: str) -> torch.device:
    """Return the device that `auto`, `cpu`, `cuda` or `cuda:1` means.

    Raises:
        ConfigError: There is no such device.
    """
    wanted = ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    try:
        device = torch.device(wanted)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"device {name!r} cannot be used: {type(error).__name__}",
            hint="take auto, cpu, or cuda where torch sees a GPU",
        ) from error
    return device
