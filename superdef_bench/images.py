"""Images with all that belongs to each of them."""

from dataclasses import dataclass

from torch import Tensor


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
