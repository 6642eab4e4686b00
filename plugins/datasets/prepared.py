"""What `superdef-bench data prepare` wrote: a subset of another dataset."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from superdef_bench import ConfigError, balanced_order, hookimpl, read_prepared, to_images


class Prepared:
    """A subset that `superdef-bench data prepare` wrote: so many images of each class.

    Its name is that of the dataset it was drawn from, with the number of classes; an id is the
    one that the image has there.

    Args:
        path: Folder; a relative one starts at the current folder.
        split: `train`, `validation` or `test`.

    Attributes:
        groups: Of each image what it belongs to, in the order of `ids`; None where the dataset
            that it was drawn from does not say.

    Raises:
        ConfigError: It was prepared without that split.
        DataError: The folder is missing, or a file of it is missing or damaged.
    """

    def __init__(
        self, *, path: str, split: Literal["train", "validation", "test"] = "test"
    ) -> None:
        found = read_prepared(Path(path).expanduser())
        arrays = found.arrays
        rows = np.flatnonzero(arrays.splits == split)
        if not len(rows):
            there = ", ".join(dict.fromkeys(arrays.splits.tolist()))
            raise ConfigError(f"prepared set {path} has no split {split!r}", hint=f"take {there}")
        self.name, self.split, self.class_names = found.name, split, found.class_names
        self.num_classes = len(found.class_names)
        row_of = dict(zip(arrays.ids[rows].tolist(), rows.tolist(), strict=True))
        members: list[list[str]] = [[] for _ in found.class_names]
        for name, row in row_of.items():
            members[arrays.labels[row]].append(name)
        self.ids = balanced_order(members)
        order = [row_of[name] for name in self.ids]
        self._pixels, self._labels = arrays.images[order], arrays.labels[order]
        self.groups: Sequence[str] | None = (
            None if arrays.groups is None else arrays.groups[order].tolist()
        )
        spec = json.dumps([split, found.class_names, found.sha256])
        self.sha256 = hashlib.sha256(spec.encode()).hexdigest()

    def load(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return images `(N, C, H, W)` in [0, 1] and labels `(N,)`."""
        rows = list(indices)
        return to_images(self._pixels[rows]), torch.from_numpy(self._labels[rows])


@hookimpl
def register_datasets() -> dict[str, type[Prepared]]:
    return {"prepared": Prepared}
