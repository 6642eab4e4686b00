"""A config, built: dataset, classifier, attacks and defenses, each with its key."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import torch

from superdef_bench.core.handover import HandOver
from superdef_bench.core.threats import (
    UNDEFENDED,
    AttackKind,
    Layout,
    Norm,
    Only,
    Rung,
    Threat,
    is_among,
    only_text,
    parse_eps,
)
from superdef_bench.core.transform import Gradient, Protected
from superdef_bench.core.types import Attack, Dataset, Task

if TYPE_CHECKING:
    from superdef_bench.benchmark.config import Config


@dataclass(frozen=True)
class BuiltAttack:
    """An attack as the config wants it.

    Attributes:
        counted: Whether it takes part in worst cases, ranks and completeness.
        defenses: The only ones it runs against; None for all.
        apart: Whether it attacks the undefended classifier for a verdict, apart from examples to
            replay: they are made with fewer parts, or there are none.
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
    defenses: Only = None
    apart: bool = False

    @property
    def batch_dependent(self) -> bool | None:
        return getattr(self.attack, "batch_dependent", None)

    @property
    def aims(self) -> bool:
        """Whether it is scored by its target in a targeted benchmark; plain noise has none."""
        return self.attack.kind != AttackKind.CORRUPTION or getattr(self.attack, "targeted", False)

    @property
    def threats(self) -> tuple[tuple[str, Threat], ...]:
        """Each eps as written, with its threat; one without a ball where the attack has none."""
        if self.attack.kind != AttackKind.BUDGET:
            return (("", Threat(self.norm, None)),)
        return tuple((text, Threat(self.norm, parse_eps(text))) for text in self.eps)

    def stands_for(self, rung: Rung) -> bool:
        """Whether its records in gray box, on the undefended classifier, are those of a rung."""
        if rung is Rung.GRAY_BOX:
            return True
        met = not self.apart and self.runs_against(UNDEFENDED, stochastic=False)
        return met and not rung.replays and rung.takes(self.attack.access)

    def judged_apart(self) -> tuple[Rung, ...]:
        """Return the rungs for which it attacks the undefended classifier for a verdict, once."""
        met = self.apart and self.runs_against(UNDEFENDED, stochastic=False)
        asked = [rung for rung in self.rungs if not rung.replays and rung.takes(self.attack.access)]
        return tuple(asked) if met else ()

    def runs_against(self, row: str, *, stochastic: bool) -> bool:
        """Whether it runs against a defense, by its row and its kind."""
        return is_among(self.defenses, row, stochastic=stochastic)

    def passes(self, threat: Threat, *, strength: bool = False) -> tuple[int, int] | None:
        """Return the most forwards and backwards per image, if the attack knows."""
        counts = getattr(self.attack, "passes", None)
        if strength and getattr(self.attack, "less_in_strength", False):
            counts = getattr(self.attack, "passes_in_strength", counts)
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

    def lacks(self, rung: Rung) -> str:
        """Return what a rung needs and this defense has not, or nothing."""
        if rung is Rung.WHITE_BOX and not self.differentiable:
            return "no exact gradient"
        if rung is Rung.BPDA and not self.protected.transforms:
            return "no stages to go around"
        return ""

    @property
    def gradient(self) -> Gradient | None:
        """The view that an attacker with gradients has: exact where that exists."""
        if not self.lacks(Rung.WHITE_BOX):
            return "exact"
        return None if self.lacks(Rung.BPDA) else "bpda"


@dataclass(frozen=True)
class Source:
    """A classifier whose examples are replayed.

    Attributes:
        name: What rows say of it.
        protected: What is attacked.
        gradient: The view that attacks on it get.
        fingerprint: Of what is attacked.
        seconds: Measured time of a forward pass per image.
        itself: The row that it is, for a defense of the benchmark.
    """

    name: str
    rung: Rung
    protected: Protected
    gradient: Gradient
    fingerprint: str
    seconds: float
    itself: BuiltDefense | None = None


@dataclass(frozen=True)
class Benchmark:
    """A config, built.

    Attributes:
        sources: What examples to replay are made on; the bare classifier first.
        watch: Around calls of plugin code; it knows all networks.
        answers_only: Whether the classifier gives no gradient (an endpoint).
        model_arguments: All arguments that the classifier was built with, under `plugin` its
            plugin's name.
        layouts: How the batches of each classifier lie in memory, by its title.
        resized: The same images at the size of `undefended_at`, if the config has it.
    """

    config: "Config"
    dataset: Dataset
    task: Task
    bare: Protected
    attacks: tuple[BuiltAttack, ...]
    defenses: tuple[BuiltDefense, ...]
    device: torch.device
    sources: tuple[Source, ...]
    watch: HandOver
    answers_only: bool = False
    model_arguments: Mapping[str, Any] = field(default_factory=dict)
    layouts: Mapping[str, Layout] = field(default_factory=dict)
    resized: Dataset | None = None

    def left_out(self, defense: BuiltDefense, rung: Rung) -> str:
        """Return why a rung does not apply to a defense, or nothing."""
        if self.answers_only and rung not in (Rung.TRANSFER, Rung.BLACK_BOX):
            return "the classifier gives no gradient"
        taken = [a for a in self.attacks if rung in a.rungs and rung.takes(a.attack.access)]
        if not taken:
            wants = "scores or labels" if rung is Rung.BLACK_BOX else "gradients"
            return f"no attack asks for {wants}"
        if not any(a.runs_against(defense.name, stochastic=defense.stochastic) for a in taken):
            return f"its attacks run against {only_text(taken[0].defenses)}"
        of_rung = [source for source in self.sources if source.rung is rung]
        if rung.replays and not of_rung:
            wanted = "classifier" if rung is Rung.TRANSFER else "defense"
            return f"[transfer] names no other {wanted}"
        if of_rung and all(source.itself is defense for source in of_rung):
            return "its examples are made on this row itself"
        return defense.lacks(rung)

    @property
    def limit(self) -> int:
        """Images to run: as many as the config asks for and the dataset has."""
        return min(self.config.limit, len(self.dataset.ids))
