"""Text in a map: what the prior has not drawn yet when ground, water and streets are there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from superdef_bench.core.errors import ConfigError, DataError
from superdef_bench.core.rng import Random
from superdef_bench.io.machine import out_of_memory
from superdef_bench.prior.fit import PriorFit, no_memory
from superdef_bench.prior.stopping import at_least_one

THRESHOLD = 0.25  # of the difference in every channel
MOST_PIXELS = 2**20
BLUR = 8  # pixels, of the Gaussian that the control takes away


@dataclass(frozen=True)
class Residual:
    """What a smoother image leaves of a map.

    Attributes:
        iteration: Of the fit that drew the smoother one; 0 for a blur.
        drawn: `(3, H, W)` in [0, 1].
        left: The map less that, in [-1, 1].
    """

    iteration: int
    drawn: Tensor
    left: Tensor

    def text(self, threshold: float = THRESHOLD) -> Tensor:
        """Return which pixels are text, bool `(H, W)`: light letters and dark ones.

        Text is what all three channels have more of than was drawn, or all three less.
        """
        light, dark = self.left.amin(dim=0), (-self.left).amin(dim=0)
        return torch.maximum(light, dark) > threshold


@dataclass(frozen=True)
class Found:
    """How well text was found, each a share of pixels.

    Attributes:
        recall: Of the text, what was found.
        precision: Of what was found, what is text.
    """

    recall: float
    precision: float

    @property
    def f1(self) -> float:
        """Harmonic mean of the two; 0 where nothing was found."""
        both = self.recall + self.precision
        return 2 * self.recall * self.precision / both if both else 0.0

    @classmethod
    def mean(cls, several: Sequence["Found"]) -> "Found":
        """Return the mean of both shares over maps."""
        return cls(
            sum(each.recall for each in several) / len(several),
            sum(each.precision for each in several) / len(several),
        )

    @classmethod
    def of(cls, found: Tensor, known: Tensor) -> "Found":
        """Return how well the pixels `found` are those of the `known` text, both bool `(H, W)`.

        Raises:
            DataError: They differ in size, or no text is known.
        """
        if found.shape != known.shape:
            raise DataError(
                f"the known text is {known.shape[1]}x{known.shape[0]}, the map "
                f"{found.shape[1]}x{found.shape[0]}",
                hint="give a picture of the map's size, white where text is",
            )
        if not bool(known.any()):
            raise DataError("the known text has no white pixel", hint="text is white in it")
        right = float((found & known).sum())
        return cls(right / float(known.sum()), right / max(1.0, float(found.sum())))


def residuals(image: Tensor, iterations: int, *, seed: int = 0) -> Iterator[Residual]:
    """Fit a network to a map, and yield what it leaves after each iteration.

    The network is that of `shape_for`, and the fit that of `PriorFit`.

    Args:
        image: `(3, H, W)` in [0, 1].
        iterations: How many.
        seed: Of the network's random weights.

    Raises:
        ConfigError: There are none.
        DataError: The image is too small or too large, or memory is short.
    """
    at_least_one(iterations, "iterations")
    pixels = image.shape[1] * image.shape[2]
    if pixels > MOST_PIXELS:
        raise DataError(
            f"the map has {pixels:,} pixels, a fit takes {MOST_PIXELS:,}",
            hint="cut out a part of it",
        )
    row = torch.zeros(1, dtype=torch.int64, device=image.device)
    try:
        fit = PriorFit(image[None], Random(seed, "residual", row), together=1)
        for step in range(1, iterations + 1):
            drawn = fit.step()[0][0]
            yield Residual(step, drawn, image - drawn)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise no_memory(image[None]) from error


def blurred(image: Tensor) -> Residual:
    """Return what a Gaussian blur leaves: the control, which fits nothing."""
    sides = [min(6 * BLUR + 1, 2 * ((side - 1) // 2) + 1) for side in image.shape[-2:]]
    drawn = gaussian_blur(image, sides[::-1], [float(BLUR)] * 2)
    return Residual(0, drawn, image - drawn)


def check_threshold(value: float) -> float:
    """Return a threshold.

    Raises:
        ConfigError: It is not between 0 and 1.
    """
    if not 0 < value < 1:
        raise ConfigError(f"threshold is {value}", hint=f"take one between 0 and 1: {THRESHOLD}")
    return value
