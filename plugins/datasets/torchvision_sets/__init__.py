"""Public data sets that torchvision downloads and checks.

`cifar10`, `cifar100`, `mnist`, `gtsrb`.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from superdef_bench import Download, balanced_order, data_directory, hookimpl, to_images
from superdef_bench.nn import is_encrypted

from .fetch import Archive, Source, fetch
from .gtsrb import Gtsrb, gtsrb_source

_BYTES = {"cifar10": 170_498_071, "cifar100": 169_001_437}  # of the archives


class Stored:
    """Images of one size, held in memory; an id is `<split>/<place in the file>`.

    Args:
        name: Name in tables.
        split: `train` or `test`.
        pixels: uint8 `(N, H, W, C)`.
        labels: int64 `(N,)`.
        class_names: Name of each class.
    """

    def __init__(
        self,
        name: str,
        split: str,
        pixels: np.ndarray,
        labels: np.ndarray,
        class_names: Sequence[str],
    ) -> None:
        self.name, self.split, self.class_names = name, split, list(class_names)
        self.num_classes = len(class_names)
        self._pixels, self._labels = pixels, labels
        places = [np.flatnonzero(labels == label) for label in range(self.num_classes)]
        self.ids = balanced_order([f"{split}/{place:05d}" for place in p] for p in places)

    @cached_property
    def sha256(self) -> str:
        """Hash of all pixels and labels, in the order of the file."""
        digest = hashlib.sha256(str(self._pixels.shape).encode())
        digest.update(np.ascontiguousarray(self._pixels).data)
        digest.update(self._labels.astype("<i8").data)
        return digest.hexdigest()

    def load(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return images `(N, C, H, W)` in [0, 1] and labels `(N,)`."""
        rows = [int(self.ids[index].split("/")[1]) for index in indices]
        return to_images(self._pixels[rows]), torch.from_numpy(self._labels[rows])


def cifar10(*, split: Literal["train", "test"] = "test", download: bool = True) -> Stored:
    """CIFAR-10: 32x32 photographs of ten kinds of things (Krizhevsky 2009).

    Raises:
        DataError: The data is not there and cannot be downloaded, or is damaged.
    """
    from torchvision import datasets

    return _cifar("cifar10", datasets.CIFAR10, split, download)


def cifar100(*, split: Literal["train", "test"] = "test", download: bool = True) -> Stored:
    """CIFAR-100: 32x32 photographs of a hundred kinds of things (Krizhevsky 2009).

    Raises:
        DataError: The data is not there and cannot be downloaded, or is damaged.
    """
    from torchvision import datasets

    return _cifar("cifar100", datasets.CIFAR100, split, download)


def _cifar_source(name: str) -> Source:
    from torchvision import datasets

    kind = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    root = data_directory()
    files = [*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])]
    unpacked = {root / kind.base_folder / file: md5 for file, md5 in files}
    return Source(name, root, [Archive(kind.url, kind.tgz_md5, _BYTES[name])], unpacked)


def _cifar(name: str, kind: Any, split: str, download: bool) -> Stored:
    source = _cifar_source(name)

    def make(online: bool) -> Any:
        return kind(source.folder, train=split == "train", download=online)

    found = fetch(source, make, download=download)
    return Stored(name, split, found.data, np.array(found.targets, np.int64), found.classes)


def mnist(*, split: Literal["train", "test"] = "test", download: bool = True) -> Stored:
    """MNIST: 28x28 handwritten digits, one channel (LeCun et al., Proc. IEEE 1998).

    Raises:
        DataError: The data is not there and cannot be downloaded, or is damaged.
    """
    from torchvision import datasets

    # torchvision names its folder after the class.
    encrypted = type("MNIST", (datasets.MNIST,), {"mirrors": _mnist_mirrors()})

    def make(online: bool) -> tuple[np.ndarray, np.ndarray]:
        found = encrypted(data_directory(), train=split == "train", download=online)
        pixels, labels = found.data.numpy(), found.targets.numpy()
        if pixels.shape[1:] != (28, 28) or len(pixels) != len(labels):
            raise RuntimeError(f"{pixels.shape} pixels and {len(labels)} labels")
        if not len(labels) or labels.max() > 9:
            raise RuntimeError("there are labels that are no digit")
        return pixels[..., None], labels

    found = fetch(_mnist_source(), make, download=download)
    return Stored("mnist", split, *found, [str(digit) for digit in range(10)])


def _mnist_mirrors() -> list[str]:
    """Return the mirrors of torchvision but for the one without encryption."""
    from torchvision import datasets

    return [url for url in datasets.MNIST.mirrors if is_encrypted(url)]


def _mnist_source() -> Source:
    from torchvision import datasets

    folder, mirrors = data_directory() / "MNIST" / "raw", _mnist_mirrors()
    archives = [Archive(f"{mirrors[0]}{name}", md5) for name, md5 in datasets.MNIST.resources]
    # torchvision has hashes of the archives only.
    unpacked = {folder / Path(archive.name).stem: "" for archive in archives}
    return Source("mnist", folder, archives, unpacked)


def _downloads(source: Callable[[str], Source]) -> Callable[..., list[Download]]:
    """Return what tells of a data set's downloads, given the arguments of its factory."""

    def downloads(*, split: str = "test", download: bool = True, **_: object) -> list[Download]:
        return source(split).downloads if download else []

    return downloads


# What a run says before it begins, and a plan in place of downloading: read by the benchmark.
cifar10.downloads = _downloads(lambda _: _cifar_source("cifar10"))  # type: ignore[attr-defined]  # as above
cifar100.downloads = _downloads(lambda _: _cifar_source("cifar100"))  # type: ignore[attr-defined]  # as above
mnist.downloads = _downloads(lambda _: _mnist_source())  # type: ignore[attr-defined]  # as above
Gtsrb.downloads = staticmethod(_downloads(gtsrb_source))  # type: ignore[attr-defined]  # as above


@hookimpl
def register_datasets() -> dict[str, Callable[..., Any]]:
    return {"cifar10": cifar10, "cifar100": cifar100, "mnist": mnist, "gtsrb": Gtsrb}
