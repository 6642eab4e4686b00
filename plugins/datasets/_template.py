"""Stripes in noise: replace this line by what your dataset shows."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from superdef_bench import Random, hookimpl


class MyDataset:
    """Upright or level stripes in noise, 32x32 RGB (replace: one line, with its source).

    Args:
        split: `train`, `validation` or `test`; no image is in two of them.
        images: How many (replace: your arguments).
    """

    name = "my_dataset"
    class_names = ("upright", "level")
    num_classes = 2

    def __init__(self, *, split: str = "test", images: int = 160) -> None:
        if split not in ("train", "validation", "test"):
            raise ValueError(f"split is {split!r}, take train, validation or test")
        if images < 2:
            raise ValueError(f"images is {images}, take 2 or more")
        self.split = split
        self.ids = [f"{split}/{number:05d}" for number in range(images)]

    @property
    def sha256(self) -> str:
        """Hash of what the dataset holds; where it reads files, of their names and bytes."""
        content = f"stripes, version 1, {self.split}, {len(self.ids)}"
        return hashlib.sha256(content.encode()).hexdigest()

    def load(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return images `(N, 3, 32, 32)` in [0, 1] and labels `(N,)`, the same every time.

        Classes take turns, so that every prefix is balanced. Where images come from files,
        `superdef_bench.read_picture(path)` reads one, or says what is wrong with it.
        """
        numbers = torch.tensor(list(indices), dtype=torch.int64)
        labels = numbers % self.num_classes
        noise = Random(0, f"{self.name}/{self.split}", numbers).uniform(3, 32, 32)
        stripes = (torch.arange(32) / 4).sin().expand(3, 32, 32)
        level = labels.view(-1, 1, 1, 1) == 1
        drawn = torch.where(level, stripes.transpose(1, 2), stripes)  # (N, 3, 32, 32)
        return 0.25 + 0.1 * drawn + 0.5 * noise, labels


@hookimpl
def register_datasets() -> dict[str, type[MyDataset]]:
    return {"my_dataset": MyDataset}
