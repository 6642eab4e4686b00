"""Images with all that belongs to each of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from superdef_bench.benchmark.built import Benchmark
from superdef_bench.core.rng import Random
from superdef_bench.core.threats import NO_TARGET

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

    @classmethod
    def joined(cls, parts: "Sequence[Images]") -> "Images":
        """Return several as one; either all have targets or none."""
        targets = [part.target for part in parts if part.target is not None]
        x, y, ids = (
            torch.cat(each) for each in zip(*((p.x, p.y, p.ids) for p in parts), strict=True)
        )
        return cls(x, y, ids, torch.cat(targets) if targets else None)

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


def choose_targets(benchmark: Benchmark, images: Images) -> Images:
    """Return the images with the targets that the config asks for, never an image's label.

    `random`: uniform over the other classes, keyed by image. `next`: the class after the label.
    `least_likely`: the other class of lowest logit on the bare classifier.
    """
    config, num_classes = benchmark.config, benchmark.task.num_classes
    if config.target == NO_TARGET:
        return images
    if config.target == "least_likely":
        return replace(images, target=_least_likely(benchmark, images))
    ahead = torch.ones_like(images.y)
    if config.target == "random":
        random = Random(config.seed, "target", images.ids)
        ahead = random.integers(1, num_classes, 1)[:, 0]
    return replace(images, target=(images.y + ahead) % num_classes)


@torch.no_grad()
def _least_likely(benchmark: Benchmark, images: Images) -> Tensor:
    batches = images.split(benchmark.config.batch_size)
    logits = torch.cat([benchmark.bare(batch.x) for batch in batches])  # (N, K)
    return logits.scatter(1, images.y[:, None], torch.inf).argmin(dim=1)
