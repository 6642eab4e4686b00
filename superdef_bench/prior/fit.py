"""Fit one untrained network to each image, all rows at once (Ulyanov et al., CVPR 2018)."""

import torch
from torch import Tensor

from superdef_bench.core.errors import DataError
from superdef_bench.core.rng import Random
from superdef_bench.nn.skip import PUBLISHED, SMALL, SkipShape, draw, draw_weights, generators

_LATENT = 0.1  # of the uniform latent image
_GUARDED = 50  # steps between looks at whether a fit fell apart
_FALL = 10 ** (5 / 10)  # a mean squared error so many times the last one is a fall of 5 dB


def shape_for(height: int, width: int) -> SkipShape:
    """Return the published network, or the one of three scales where it leaves no image.

    Raises:
        DataError: The image is too small even for that.
    """
    least = min(height, width)
    for shape in (PUBLISHED, SMALL):
        if least > shape.stride:
            return shape
    raise DataError(
        f"an image of {height}x{width} is too small for Deep Image Prior",
        hint=f"its smallest network halves {len(SMALL.down)} times: give more than "
        f"{SMALL.stride} pixels a side",
    )


def no_memory(images: Tensor) -> DataError:
    """Return the error of images `(N, 3, H, W)` of which one is too large for the memory."""
    height, width = images.shape[-2:]
    return DataError(
        f"no memory for a network of Deep Image Prior on an image of {height}x{width}",
        hint="give smaller images, or a machine with more memory",
    )


class PriorFit:
    """Networks that are being fitted, one per row.

    Each network begins from random weights and sees a latent image with fresh noise at every step;
    its weights follow Adam on the mean squared error to the image. What a row does depends on its
    image, its id and its draw alone: never on the batch, and nothing carries over. As in the
    released code of Deep Image Prior a row goes back to weights of up to 50 steps before where its
    error has grown by 5 dB since. On a CPU answers are alike to the bit in any batch.

    Args:
        images: `(R, 3, H, W)` in [0, 1].
        random: Random numbers of the rows.
        shape: Size of the networks; by default that of `shape_for`.
        rate: Learning rate of Adam.
        noise: Standard deviation of the noise on the latent image.
        together: Rows come in multiples of so many, filled up: with fewer a CPU takes other
            kernels, and other bits. 1 is faster for a row that is always alone.

    Raises:
        DataError: The images are too small for the network, or have no three channels.
    """

    def __init__(
        self,
        images: Tensor,
        random: Random,
        *,
        shape: SkipShape | None = None,
        rate: float = 0.01,
        noise: float = 1 / 30,
        together: int = 4,
    ) -> None:
        rows, channels, height, width = images.shape
        self.shape = shape or shape_for(height, width)
        if channels != 3:
            raise DataError(
                f"Deep Image Prior draws 3 channels, the images have {channels}",
                hint="give colour images",
            )
        if min(height, width) <= self.shape.stride:
            raise DataError(
                f"an image of {height}x{width} is too small for a network that halves it "
                f"{len(self.shape.down)} times",
                hint=f"give more than {self.shape.stride} pixels a side, or fewer scales",
            )
        self.step_number = 0
        self._rows, self._noise, self._together = rows, noise, together
        places = self._filled(torch.arange(rows, device=images.device))
        random, self._images = random.take(places), images.detach()[places]
        # Sides that are no multiple of the stride are drawn larger, and cut.
        stride = self.shape.stride
        self._size = (-(-height // stride) * stride, -(-width // stride) * stride)
        latent = random.fork("latent").uniform(channels, *self._size, high=_LATENT)
        self._latent = latent.to(images.dtype)
        drawn = draw_weights(self.shape, random.fork("weights"))
        self._weights = {name: value.to(images.dtype) for name, value in drawn.items()}
        for value in self._weights.values():
            value.requires_grad_(True)
        self._adam = self._optimizer(rate)
        self._kept = [value.detach().clone() for value in self._weights.values()]
        self._error = torch.full((len(places),), torch.inf, device=images.device)
        self._generators = generators(random.fork("noise"))

    def step(self) -> tuple[Tensor, Tensor]:
        """Go one step on.

        Returns:
            What the networks drew before their weights changed, `(R, 3, H, W)` in (0, 1), and its
            mean squared error to the images, `(R,)`.
        """
        noise = torch.stack(
            [torch.randn(self._latent.shape[1:], generator=g) for g in self._generators]
        )
        z = self._latent + self._noise * noise.to(self._latent)
        height, width = self._images.shape[-2:]
        with torch.enable_grad():
            drawn = draw(self.shape, self._weights, z)[..., :height, :width]
            errors = (drawn - self._images).square().mean(dim=(1, 2, 3))
            gradients = torch.autograd.grad(errors.sum(), list(self._weights.values()))
        self.step_number += 1
        fell = None
        if self.step_number % _GUARDED == 0:
            fell = self._kept_or_fell(errors.detach())
        for value, gradient in zip(self._weights.values(), gradients, strict=True):
            value.grad = gradient
        self._adam.step()
        if fell is not None:
            self._go_back(fell)
        return drawn.detach()[: self._rows], errors.detach()[: self._rows]

    @torch.no_grad()
    def _kept_or_fell(self, errors: Tensor) -> Tensor:
        """Keep the weights that made these errors; return which rows fell apart, which do not."""
        fell = errors > _FALL * self._error
        for value, kept in zip(self._weights.values(), self._kept, strict=True):
            kept.copy_(torch.where(_mask(fell, value), kept, value))
        self._error = torch.where(fell, self._error, errors)
        return fell

    @torch.no_grad()
    def _go_back(self, fell: Tensor) -> None:
        """Put back the weights of rows that fell apart."""
        for value, kept in zip(self._weights.values(), self._kept, strict=True):
            value.copy_(torch.where(_mask(fell, value), kept, value))

    @torch.no_grad()
    def keep(self, rows: Tensor) -> None:
        """Go on with some rows alone: indices, int64 `(K,)`, of which there is one at least."""
        self._rows, rows = len(rows), self._filled(rows)
        self._images, self._latent = self._images[rows], self._latent[rows]
        self._error = self._error[rows]
        self._kept = [value[rows] for value in self._kept]
        moments = [self._adam.state[value] for value in self._weights.values()]
        for name, value in self._weights.items():
            self._weights[name] = value[rows].clone().requires_grad_(True)
        self._adam = self._optimizer(self._adam.param_groups[0]["lr"])
        for value, state in zip(self._weights.values(), moments, strict=True):
            self._adam.state[value] = {
                name: part if name == "step" else part[rows] for name, part in state.items()
            }
        kept = [self._generators[row] for row in rows[: self._rows].tolist()]
        self._generators = kept + [torch.Generator() for _ in rows[self._rows :]]

    def _optimizer(self, rate: float) -> torch.optim.Adam:
        # Adam goes number by number, so that one for all rows is one for each.
        return torch.optim.Adam(list(self._weights.values()), lr=rate, fused=True)

    def _filled(self, rows: Tensor) -> Tensor:
        """Return rows, the last one again up to a multiple."""
        return torch.cat([rows, rows[-1:].expand(-len(rows) % self._together)])


def _mask(rows: Tensor, like: Tensor) -> Tensor:
    """Return a mask of rows that goes with a tensor of theirs."""
    return rows.reshape(-1, *[1] * (like.ndim - 1))
