"""Photographs for training super-resolution: aligned pairs of patches, large and small."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from superdef_bench.core.errors import ConfigError, DataError
from superdef_bench.core.fingerprint import fingerprint
from superdef_bench.core.transform import resize
from superdef_bench.core.types import Dataset
from superdef_bench.io.pictures import read_picture
from superdef_bench.io.progress import progress_bar
from superdef_bench.training.image_files import HINT, image_files, read_image_file

_LOAD = 1000
# Photographs may have so many times as many bytes in memory as in their files, or 1 GiB: a JPEG
# of low quality has thirty times as many.
_UNPACKED, _FREE = 200, 2**30


@dataclass(frozen=True)
class Photographs:
    """Photographs and their small versions, in memory as uint8.

    Attributes:
        name: Of the folder or file they come from.
        sha256: Over the names and bytes of the files.
        names: Of the files, or ids.
        large: `(3, H, W)` each, cut to multiples of the scale.
        small: `(3, H / scale, W / scale)` each: bicubic (a = -0.5, antialiased), rounded to 8
            bits, as the standard test sets are.
        scale: 2, 3 or 4.
    """

    name: str
    sha256: str
    names: Sequence[str]
    large: Sequence[Tensor]
    small: Sequence[Tensor]
    scale: int

    def split(self, holdout: int) -> tuple["Photographs", "Photographs"]:
        """Return all but the last `holdout`, and those, each with a hash of its own.

        Raises:
            ConfigError: None would be left.
        """
        cut = len(self.large) - holdout
        if cut < 1:
            raise ConfigError(
                f"{holdout} of {len(self.large)} photographs are held out",
                hint="lower --holdout, or give more photographs",
            )
        return self._part(0, cut), self._part(cut, len(self.large))

    def _part(self, first: int, last: int) -> "Photographs":
        return Photographs(
            self.name,
            fingerprint(self.sha256, first, last),
            self.names[first:last],
            self.large[first:last],
            self.small[first:last],
            self.scale,
        )

    @cached_property
    def _weights(self) -> Tensor:
        return torch.tensor([float(image[0].numel()) for image in self.large])

    def patches(self, count: int, size: int, seed: int) -> tuple[Tensor, Tensor]:
        """Return random pairs `(count, 3, size, size)` and their large ones, in [0, 1].

        A photograph is drawn by its area; the pair is mirrored and turned at random. The same
        seed draws the same.
        """
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.multinomial(self._weights, count, replacement=True, generator=generator)
        numbers = torch.rand(count, 5, generator=generator).tolist()
        pairs = [
            self._patch(index, size, row)
            for index, row in zip(chosen.tolist(), numbers, strict=True)
        ]
        small, large = (torch.stack(side).float() / 255 for side in zip(*pairs, strict=True))
        return small, large

    def _patch(self, index: int, size: int, numbers: Sequence[float]) -> tuple[Tensor, Tensor]:
        small, large, scale = self.small[index], self.large[index], self.scale
        top = int(numbers[0] * (small.shape[1] - size + 1))
        left = int(numbers[1] * (small.shape[2] - size + 1))
        a = small[:, top : top + size, left : left + size]
        top, left, side = scale * top, scale * left, scale * size
        b = large[:, top : top + side, left : left + side]
        for number, turn in zip(numbers[2:], (_mirror, _flip, _transpose), strict=True):
            if number < 0.5:
                a, b = turn(a), turn(b)
        return a, b

    def check_patch(self, size: int) -> None:
        """Raise ConfigError unless patches of `size` fit into every small photograph."""
        least = min(min(image.shape[-2:]) for image in self.small)
        if size > least:
            raise ConfigError(
                f"patches of {size} pixels do not fit: the smallest photograph of {self.name} "
                f"has {least} after division by {self.scale}",
                hint=f"take --patch {least}, or larger photographs",
            )


def _mirror(image: Tensor) -> Tensor:
    return image.flip(-1)


def _flip(image: Tensor) -> Tensor:
    return image.flip(-2)


def _transpose(image: Tensor) -> Tensor:
    return image.transpose(-1, -2)


def shrink(large: Tensor, scale: int) -> Tensor:
    """Return uint8 images `(3, H, W)` made `scale` times smaller by bicubic, in 8 bits."""
    size = (large.shape[1] // scale, large.shape[2] // scale)
    small = resize(large[None].float(), size)[0]
    return small.round().clamp(0, 255).byte()


def read_photographs(data: str | Path, scale: int, *, least: int = 2) -> Photographs:
    """Read every image of a folder, or of a zip, with what lies deeper.

    Args:
        data: Folder or zip file.
        scale: 2, 3 or 4.
        least: Fewest photographs that will do.

    Raises:
        DataError: It is missing, has too few images, or one cannot be read or is too small.
    """
    place = Path(data).expanduser()
    files = image_files(place)
    _check_count(str(place), len(files), least)
    digest, images, packed, unpacked = hashlib.sha256(), list[Tensor](), 0, 0
    with progress_bar(len(files)) as bar:
        for number, (name, read) in enumerate(files):
            content = read_image_file(place, (name, read))
            digest.update(name.encode() + hashlib.sha256(content).digest())
            picture = read_picture(place / name, content).convert("RGB")
            if min(picture.size) < scale:
                raise DataError(f"image {place / name} is smaller than {scale} pixels")
            packed, unpacked = packed + len(content), unpacked + 3 * math.prod(picture.size)
            if unpacked > max(_FREE, _UNPACKED * packed):
                raise DataError(
                    f"image {place / name}: {packed >> 20:,} MiB of files up to it are "
                    f"{unpacked >> 20:,} MiB of pixels",
                    hint="they are nearly of one colour: take photographs",
                )
            images.append(torch.from_numpy(np.array(picture)).permute(2, 0, 1))
            bar.show(f"reading {place.name}", f"{number + 1}/{len(files)} photographs")
            bar.advance(1)
    return _pairs(place.stem, digest.hexdigest(), [name for name, _ in files], images, scale)


def dataset_photographs(dataset: Dataset, scale: int, *, least: int = 2) -> Photographs:
    """Return the images of a dataset plugin as photographs; grey ones become RGB.

    Raises:
        DataError: They are too few or too small.
    """
    _check_count(f"dataset {dataset.name}", len(dataset.ids), least)
    images: list[Tensor] = []
    for start in range(0, len(dataset.ids), _LOAD):
        x, _ = dataset.load(range(start, min(start + _LOAD, len(dataset.ids))))
        images += (x.expand(-1, 3, -1, -1) * 255).round().byte().unbind()
    if min(images[0].shape[-2:]) < scale:
        raise DataError(f"the images of dataset {dataset.name} are smaller than {scale} pixels")
    return _pairs(dataset.name, dataset.sha256, dataset.ids, images, scale)


def _check_count(what: str, count: int, least: int) -> None:
    if count < least:
        raise DataError(f"{what} has {count} images, {least} are needed", hint=HINT)


def _pairs(
    name: str, sha256: str, names: Sequence[str], images: Sequence[Tensor], scale: int
) -> Photographs:
    large = [image[:, : _whole(image, 1, scale), : _whole(image, 2, scale)] for image in images]
    small = [shrink(image, scale) for image in large]
    return Photographs(name, sha256, names, large, small, scale)


def _whole(image: Tensor, side: int, scale: int) -> int:
    return image.shape[side] // scale * scale
