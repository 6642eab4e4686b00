"""Images with all that belongs to each of them."""

from dataclasses import dataclass

import torch
from torch import Tensor

_LEVEL_NOISE = 1e-3  # float32 puts a level a little to either side


@dataclass(frozen=True)
class Images:
    """A batch of clean images.

    Attributes:
        x: `(N, C, H, W)` in [0, 1].
        y: Labels `(N,)`.
        ids: Image ids, int64 `(N,)`.
        target: Labels to reach `(N,)`, or None for any wrong one.
    """

    x: Tensor
    y: Tensor
    ids: Tensor
    target: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: Tensor) -> "Images":
        """Return the images at `index`."""
        target = None if self.target is None else self.target[index]
        return Images(self.x[index], self.y[index], self.ids[index], target)

    def split(self, size: int) -> "list[Images]":
        """Return the images in batches of `size`, the last one shorter."""
        targets: list[Tensor | None] = [None] * -(-len(self) // size)
        if self.target is not None:
            targets = [*self.target.split(size)]
        pieces = (self.x.split(size), self.y.split(size), self.ids.split(size), targets)
        return [Images(*parts) for parts in zip(*pieces, strict=True)]


def eight_bits(attacked: Tensor, clean: Tensor) -> Tensor:
    """Return images rounded to 8 bits towards the clean ones: of two levels, the nearer to them.

    Plain rounding carries what lies at the border of a ball out of it.
    """
    levels = attacked * 255
    below, above = (levels + _LEVEL_NOISE).floor(), (levels - _LEVEL_NOISE).ceil()
    return torch.where(attacked > clean, below, above) / 255
