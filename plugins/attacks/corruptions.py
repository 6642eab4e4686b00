"""Corruptions that know nothing of the classifier, in five severities.

`additive_gaussian`, `blended_uniform`, `salt_and_pepper`, `blur`.
"""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from superdef_bench import AttackContext, Norm, Random, Threat, hookimpl


class _Corruption(ABC):
    norms: frozenset[Norm] = frozenset({"linf", "l2"})
    kind = "corruption"
    access = "none"
    batch_dependent = False
    strengths: ClassVar[tuple[float, float, float, float, float]]

    def __init__(self, *, severity: int = 3) -> None:
        if not 1 <= severity <= 5:
            raise ValueError(f"severity is {severity}, take 1 to 5")
        self.strength = self.strengths[severity - 1]

    def passes(self, threat: Threat) -> tuple[int, int]:
        """Return the most forwards and backwards that one image needs."""
        return 0, 0

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, context: AttackContext
    ) -> Tensor:
        # Not the row's own stream: two severities are two rows and share the noise of an image.
        random = Random(context.random.seed, f"corruption/{type(self).__name__}", context.ids)
        return self.corrupt(x, random).clamp(0.0, 1.0)

    @abstractmethod
    def corrupt(self, x: Tensor, random: Random) -> Tensor:
        """Return the images at this strength."""


class AdditiveGaussian(_Corruption):
    """Gaussian noise of its own for every pixel and channel.

    Args:
        severity: 1 to 5, a standard deviation of 0.02, 0.04, 0.08, 0.12, 0.18.
    """

    strengths = (0.02, 0.04, 0.08, 0.12, 0.18)

    def corrupt(self, x: Tensor, random: Random) -> Tensor:
        return x + self.strength * random.normal(*x.shape[1:])


class BlendedUniform(_Corruption):
    """A blend with uniform noise in [0, 1).

    Args:
        severity: 1 to 5, a share of noise of 0.05, 0.1, 0.2, 0.3, 0.45.
    """

    strengths = (0.05, 0.1, 0.2, 0.3, 0.45)

    def corrupt(self, x: Tensor, random: Random) -> Tensor:
        return torch.lerp(x, random.uniform(*x.shape[1:]), self.strength)


class SaltAndPepper(_Corruption):
    """Pixels set to white or black, in all channels at once.

    Args:
        severity: 1 to 5, a chance of 0.01, 0.02, 0.05, 0.1, 0.2 for each pixel.
    """

    strengths = (0.01, 0.02, 0.05, 0.1, 0.2)

    def corrupt(self, x: Tensor, random: Random) -> Tensor:
        hit, white = random.uniform(2, *x.shape[2:]).split(1, dim=1)  # (N, 1, H, W) each
        return torch.where(hit < self.strength, (white < 0.5).to(x.dtype), x)


class Blur(_Corruption):
    """Gaussian blur; beyond the border the nearest pixel goes on.

    Args:
        severity: 1 to 5, a standard deviation of 0.015, 0.02, 0.03, 0.045, 0.06 of the shorter
            side: 0.48 to 1.92 pixels at 32, 3.4 to 13.4 at 224.
    """

    strengths = (0.015, 0.02, 0.03, 0.045, 0.06)

    def corrupt(self, x: Tensor, random: Random) -> Tensor:
        sigma = self.strength * min(x.shape[-2:])
        reach = math.ceil(3 * sigma)
        offsets = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype)
        weights = torch.softmax(-(offsets**2) / (2 * sigma**2), dim=0)
        padded = functional.pad(x, [reach] * 4, mode="replicate").flatten(0, 1)[:, None]
        across = functional.conv2d(padded, weights.view(1, 1, 1, -1))
        return functional.conv2d(across, weights.view(1, 1, -1, 1)).view_as(x)


@hookimpl
def register_attacks() -> dict[str, type[_Corruption]]:
    return {
        "additive_gaussian": AdditiveGaussian,
        "blended_uniform": BlendedUniform,
        "salt_and_pepper": SaltAndPepper,
        "blur": Blur,
    }
