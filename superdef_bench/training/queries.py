"""Inputs on which a student is shown what its teacher answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from superdef_bench.core.errors import ConfigError, did_you_mean
from superdef_bench.core.fingerprint import tensors
from superdef_bench.core.rng import Random
from superdef_bench.core.threats import Threat
from superdef_bench.core.types import AttackContext
from superdef_bench.engine import ascend
from superdef_bench.io.machine import out_of_memory
from superdef_bench.nn import jpeg_round_trip

KINDS = ("clean", "noise", "jpeg", "adversarial")
_QUALITIES = (30, 90)


@dataclass(frozen=True)
class Queries:
    """What becomes of a batch of small patches before the teacher sees it.

    Args:
        kinds: Of `clean`, `noise`, `jpeg`, `adversarial`; the rows of a batch
            take them in turn, and a step goes on where the one before stopped.
        noise: Standard deviation of Gaussian noise.
        eps: Linf radius of adversarial patches.
        attack_steps: Steps of PGD against the classifier, from a random start.
        classifier: What adversarial patches are made against.
        seed: Seed of noise, qualities and starts.

    Raises:
        ConfigError: A kind is unknown or lacks what it needs.
    """

    kinds: Sequence[str]
    noise: float
    eps: float
    attack_steps: int
    classifier: nn.Module | None
    seed: int

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in KINDS:
                raise ConfigError(f"unknown query {kind!r}", hint=did_you_mean(kind, KINDS))
        if len(set(self.kinds)) < len(self.kinds):
            raise ConfigError(f"a query stands twice in {','.join(self.kinds)}")
        if not self.kinds:
            raise ConfigError("there is no query", hint=f"--queries takes {','.join(KINDS)}")
        if not self.noise > 0 or not self.eps > 0 or self.attack_steps < 1:
            raise ConfigError("noise, eps and attack_steps are above 0")
        if "adversarial" in self.kinds and self.classifier is None:
            raise ConfigError(
                "adversarial queries need a classifier", hint="name one: --model signs_resnet8"
            )

    def described(self) -> dict[str, Any]:
        """Return what the queries in use depend on."""
        used: dict[str, Any] = {"queries": list(self.kinds)}
        if "noise" in self.kinds:
            used["noise"] = self.noise
        if self.classifier is not None:
            used["eps"], used["attack_steps"] = self.eps, self.attack_steps
            used["classifier"] = tensors(self.classifier.state_dict())
        return used

    def clean(self, count: int, step: int) -> Tensor:
        """Return which rows of a step's batch stay clean, bool `(count,)`."""
        return torch.tensor([self._kind(row, count, step) == "clean" for row in range(count)])

    def _kind(self, row: int, count: int, step: int) -> str:
        return self.kinds[(step * count + row) % len(self.kinds)]

    def change(self, x: Tensor, step: int) -> Tensor:
        """Return patches `(N, 3, h, w)` in [0, 1], each changed after the kind of its row."""
        if set(self.kinds) == {"clean"}:
            return x
        changed = x.clone()
        for kind in dict.fromkeys(self.kinds):
            count = len(x)
            rows = torch.tensor([r for r in range(count) if self._kind(r, count, step) == kind])
            if len(rows) and kind != "clean":
                rows = rows.to(x.device)
                changed[rows] = self._degrade(kind, x[rows], rows, step)
        return changed

    def _degrade(self, kind: str, x: Tensor, rows: Tensor, step: int) -> Tensor:
        random = Random(self.seed, f"query {kind}", rows, draws=torch.full_like(rows, step))
        if kind == "noise":
            return (x + self.noise * random.normal(*x.shape[1:])).clamp(0.0, 1.0)
        if kind == "jpeg":
            low, high = _QUALITIES
            quality = low + int(random.integers(0, high - low)[0])
            return jpeg_round_trip(x, quality)
        return self._attack(x, rows, random)

    def _attack(self, x: Tensor, rows: Tensor, random: Random) -> Tensor:
        """Return patches that the classifier no longer takes for what it took them for."""
        assert self.classifier is not None
        try:
            with torch.no_grad():
                y = self.classifier(x).argmax(dim=1)
        except RuntimeError as error:
            if out_of_memory(error):
                raise
            raise ConfigError(
                f"the classifier cannot take patches of {x.shape[-1]} pixels: "
                f"{str(error).splitlines()[0]}",
                hint="set --patch to the size it takes",
            ) from error
        return ascend(
            self.classifier,
            x,
            y,
            Threat("linf", self.eps),
            AttackContext.start(rows, random, goal="strength"),
            steps=self.attack_steps,
            step_size=2.5 * self.eps / self.attack_steps,
            random_starts=True,
        )
