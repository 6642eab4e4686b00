"""Adversarial examples to train on: PGD, or one step from a noisy image (N-FGSM)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from superdef_bench.core.errors import ConfigError
from superdef_bench.core.rng import Random
from superdef_bench.core.threats import Threat, parse_eps
from superdef_bench.core.types import AttackContext
from superdef_bench.engine import ascend, project
from superdef_bench.training.data import at_once

TrainingAttack = Literal["pgd", "n_fgsm"]

_STEPS = 10  # of the PGD that measures
_AT_ONCE = 250


def read_radius(text: str) -> float:
    """Return the Linf radius that a text such as `8/255` means.

    Raises:
        ConfigError: It is no number within 0 and 1.
    """
    radius = parse_eps(text)
    if radius > 1:
        raise ConfigError(
            f"eps {text!r} is above 1, the whole range of a pixel",
            hint=f'did you mean "{text}/255"?',
        )
    return radius


@dataclass(frozen=True)
class Adversary:
    """The attack whose examples a network is trained on, in the Linf norm.

    Args:
        attack: `pgd` (Madry et al., ICLR 2018): steps of 2.5 eps / steps from a random point of
            the ball. `n_fgsm` (de Jorge et al., NeurIPS 2022): one step of eps from an image with
            noise of up to 2 eps; the sum is not cut to the ball, which keeps a single step from
            overfitting to itself.
        eps: Radius, such as `8/255`.
        steps: Gradient steps of `pgd`.

    Raises:
        ConfigError: One is out of its range.
    """

    attack: TrainingAttack
    eps: str = "8/255"
    steps: int = 7

    def __post_init__(self) -> None:
        if self.attack not in get_args(TrainingAttack):
            raise ConfigError(f"no training on {self.attack!r}", hint="take pgd or n_fgsm")
        read_radius(self.eps)
        if self.steps < 1:
            raise ConfigError(f"attack_steps is {self.steps}", hint="take 1 or more")

    @property
    def radius(self) -> float:
        """The radius as a number."""
        return read_radius(self.eps)

    def examples(self, model: nn.Module, x: Tensor, y: Tensor, seed: int) -> Tensor:
        """Return adversarial images for `x` `(N, C, H, W)`, in [0, 1].

        The network is attacked in the mode that it is in. In training that is batch norm with
        the statistics of the batch: attacked with the running ones, which are those of two image
        sizes, the network learns to answer differently in both modes in place of robustness. The
        attack leaves the running statistics as they are. The same seed draws the same noise.
        """
        generator = torch.Generator(x.device).manual_seed(seed)
        noise = 2 * torch.rand(x.shape, generator=generator, device=x.device) - 1  # in [-1, 1)
        attack = self._n_fgsm if self.attack == "n_fgsm" else self._pgd
        with _untracked(model):
            return attack(model, x, y, self.radius, noise)

    @staticmethod
    def _n_fgsm(model: nn.Module, x: Tensor, y: Tensor, eps: float, noise: Tensor) -> Tensor:
        start = (x + 2 * eps * noise).clamp(0.0, 1.0)
        return (start + eps * _slope(model, start, y)).clamp(0.0, 1.0)

    def _pgd(self, model: nn.Module, x: Tensor, y: Tensor, eps: float, noise: Tensor) -> Tensor:
        threat, step = Threat("linf", eps), 2.5 * eps / self.steps
        iterate = project(x + eps * noise, x, threat)
        for _ in range(self.steps):
            iterate = project(iterate + step * _slope(model, iterate, y), x, threat)
        return iterate

    def accuracy(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        prepare: Callable[[Tensor], Tensor] | None = None,
    ) -> float:
        """Return the share of uint8 images `(N, C, H, W)` still right after ten steps of PGD.

        The attack is that of the benchmark at the same eps, from one random point of the ball
        with steps of a quarter of it, whatever the network was trained on. What `prepare` makes
        of the images is attacked, where it is given.
        """
        model.eval()
        device, right = next(model.parameters()).device, 0
        threat = Threat("linf", self.radius)
        numbers = torch.arange(len(labels), device=device)
        for ids in numbers.split(at_once(images[0], _AT_ONCE)):
            x, y = images[ids.cpu()].to(device).float() / 255, labels[ids.cpu()].to(device)
            x = prepare(x) if prepare else x
            context = AttackContext.start(ids, Random(0, "training/accuracy", ids))
            found = ascend(
                model,
                x,
                y,
                threat,
                context,
                steps=_STEPS,
                step_size=2.5 * self.radius / _STEPS,
                random_starts=True,
            )
            with torch.no_grad():
                right += int((model(found).argmax(dim=1) == y).sum())
        return right / len(labels)


@contextmanager
def _untracked(model: nn.Module) -> Iterator[None]:
    """Keep batch norm from following the statistics of what passes through."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d) and m.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def _slope(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return the sign of the loss's gradient by the images; the weights get none."""
    leaf = x.detach().requires_grad_()
    loss = functional.cross_entropy(model(leaf).float(), y, reduction="sum")
    return torch.autograd.grad(loss, leaf)[0].sign()
