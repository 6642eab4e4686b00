"""Traffic signs drawn by code: a benchmark that needs no download.

Twenty classes of 32x32 pictures; each image is a pure function of (split, index).
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from superdef_bench import Random, SuperdefError, hookimpl

from .artwork import draw
from .camera import PARAMETERS, photograph

_LENGTHS = {"train": 20_000, "validation": 2_000, "test": 4_000}
_BATCH = 64  # drawn at once: larger arrays fall out of the cache
_LUMA = (0.299, 0.587, 0.114)


class Signs:
    """Drawings of twenty traffic signs under random pose, light, blur, noise and occlusion.

    Args:
        split: `train` (20,000 images), `validation` (2,000) or `test` (4,000).
        grey: One channel of luma in place of RGB.
        size: Height and width in pixels.
        name: Name of the dataset in tables.

    Raises:
        SuperdefError: `split` is unknown or `size` is not within 8 and 256.
    """

    def __init__(
        self, *, split: str = "test", grey: bool = False, size: int = 32, name: str = "signs"
    ) -> None:
        if split not in _LENGTHS:
            raise SuperdefError(
                f"dataset signs has no split {split!r}", hint=f"one of {', '.join(_LENGTHS)}"
            )
        if not 8 <= size <= 256:
            raise SuperdefError(f"signs of {size} pixels", hint="take a size from 8 to 256")
        self.name, self.split, self.grey, self.size = name, split, grey, size
        self.class_names, self._textures = draw()
        self.num_classes = len(self.class_names)
        self.ids = [f"signs/{split}/{index:05d}" for index in range(_LENGTHS[split])]

    @cached_property
    def sha256(self) -> str:
        """Hash of the split, its options and its first 64 images."""
        images, labels = self.load(range(64))
        spec = f"{self.split}/{self.grey}/{self.size}/{len(self.ids)}".encode()
        pixels = (images * 255).round().byte().numpy().tobytes()
        return hashlib.sha256(spec + pixels + labels.numpy().tobytes()).hexdigest()

    def load(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Draw images `(N, C, size, size)` in [0, 1] and labels `(N,)`.

        Index i shows class i modulo 20, so that every prefix is balanced.
        """
        numbers = torch.tensor(list(indices), dtype=torch.int64)
        batches = [self._draw(batch) for batch in numbers.split(_BATCH)]
        images, labels = zip(*batches, strict=True)
        return torch.cat(images), torch.cat(labels)

    def _draw(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        random = Random(0, f"signs/{self.split}", numbers)
        unit = random.uniform(PARAMETERS).numpy()
        # Three uniform numbers make a bell that needs no logarithm, at unit variance.
        grain = 2.0 * random.uniform(3, self.size, self.size, 3).numpy().sum(axis=1) - 3.0
        labels = numbers.numpy() % self.num_classes
        pictures = photograph(self._textures, labels, unit, grain, self.size)
        if self.grey:
            luma = pictures.astype(np.float64) @ np.array(_LUMA)
            pictures = np.rint(luma).astype(np.uint8)[..., None]
        images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255.0
        return images.contiguous(), torch.from_numpy(labels)


@hookimpl
def register_datasets() -> dict[str, type[Signs]]:
    return {"signs": Signs}
