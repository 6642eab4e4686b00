"""The photographs of the NIPS 2017 competition on adversarial examples."""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from superdef_bench import (
    ConfigError,
    DataError,
    LabelColumns,
    LabelTable,
    balanced_order,
    data_directory,
    hash_files,
    read_picture,
    to_images,
)

_SIDE = 299  # pixels of the images as they are distributed
_SMALLEST = 32
_TABLE = "dev_dataset.csv"
_GET = (
    "the competition's dev_dataset.csv and download_images.py are in the repository of CleverHans, "
    "examples/nips17_adversarial_competition/dataset; put the table and images/<ImageId>.png there"
)


class Nips2017:
    """The DEV images of the NIPS 2017 competition (Kurakin et al., 2018), with ImageNet's labels.

    1,000 photographs, 299x299, whole: `images/<ImageId>.png` and `dev_dataset.csv`, whose labels
    count from 1. Those that the table lists are taken, in an order that takes classes in turn. The
    names of the 1,000 classes are torchvision's.

    Args:
        path: Folder of the table and of `images`; by default `nips2017` in the data folder.
        size: Height and width in pixels (bicubic, antialiased); 299 leaves images as they are.

    Raises:
        DataError: The folder, the table or an image is missing, or an image has another size.
    """

    name, split = "nips2017", "dev"

    def __init__(self, *, path: str = "", size: int = 160) -> None:
        if not _SMALLEST <= size <= _SIDE:
            raise ConfigError(
                f"size is {size}", hint=f"take {_SMALLEST} to {_SIDE} pixels, such as 160 or 224"
            )
        folder = Path(path).expanduser() if path else data_directory() / self.name
        if not folder.is_dir():
            raise DataError(f"folder {folder} of nips2017 does not exist", hint=_GET)
        self._root, self._size = folder / "images", size
        table = LabelTable(folder / _TABLE, self._root, LabelColumns())
        self.class_names = _class_names()
        self.num_classes = len(self.class_names)
        table.check_range(self.num_classes)
        if deeper := next((place for place in table.labels if "/" in place), ""):
            raise DataError(
                f"table {folder / _TABLE}: {deeper[:80]!r} is no ImageId", hint="get it again"
            )
        end = len(LabelColumns().suffix)
        self._labels = {place[:-end]: label for place, label in table.labels.items()}
        members: list[list[str]] = [[] for _ in self.class_names]
        for name, label in self._labels.items():
            members[label].append(name)
        self.ids = balanced_order(members)

    @cached_property
    def sha256(self) -> str:
        """Hash of every image's name and bytes, every label and the size."""
        settings = json.dumps([self._size, sorted(self._labels.items())])
        return hash_files(self.name, settings, self._root, map(_file, self.ids))

    def load(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return images `(N, 3, size, size)` in [0, 1] and labels `(N,)`.

        Raises:
            DataError: An image is damaged or is not 299x299.
        """
        names = [self.ids[index] for index in indices]
        pixels = [self._read(self._root / _file(name)) for name in names]
        return to_images(pixels), torch.tensor([self._labels[name] for name in names])

    def _read(self, file: Path) -> np.ndarray:
        picture = read_picture(file).convert("RGB")
        if picture.size != (_SIDE, _SIDE):
            raise DataError(
                f"image {file} has {picture.size[0]}x{picture.size[1]} pixels, "
                f"those of nips2017 have {_SIDE}x{_SIDE}",
                hint='get it again; plugin = "imagefolder" takes images of any size',
            )
        if self._size != _SIDE:
            picture = picture.resize((self._size, self._size), Image.Resampling.BICUBIC)
        return np.asarray(picture)


def _file(name: str) -> str:
    return f"{name}.png"


def _class_names() -> list[str]:
    from torchvision.models import ResNet18_Weights

    return list(ResNet18_Weights.DEFAULT.meta["categories"])
