"""Photographs and their small versions, as the test sets of super-resolution are laid out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from superdef_bench.datasets import hash_files, to_images
from superdef_bench.errors import DataError
from superdef_bench.pictures import SUFFIXES, read_picture
from superdef_bench.places import find_data

_LARGE, _SMALL = "_HR", "_LR"
_HINT = "it holds pairs such as a_HR.png and a_LR.png, in itself or in one folder per set"


@dataclass(frozen=True)
class Pair:
    """A photograph and its small version, as files.

    Attributes:
        large: The photograph.
        small: The same, made smaller.
    """

    large: Path
    small: Path

    def read(self) -> tuple[Tensor, Tensor, int]:
        """Return both as `(1, C, H, W)` in [0, 1], and the scale between them.

        Raises:
            DataError: One cannot be read, or their sizes do not fit.
        """
        large, small = (_image(path) for path in (self.large, self.small))
        (height, width), (h, w) = large.shape[-2:], small.shape[-2:]
        scale = height // h
        if (height, width) != (scale * h, scale * w) or large.shape[1] != small.shape[1]:
            raise DataError(
                f"{self.large.name} has {width}x{height} pixels, {self.small.name} {w}x{h}",
                hint="both are grey or RGB, and one is a whole number of times as large",
            )
        return large, small, scale


def _image(path: Path) -> Tensor:
    """Return a file as `(1, C, H, W)` in [0, 1], one channel if it is grey."""
    pixels = np.array(read_picture(path))
    return to_images(pixels[None, ..., None] if pixels.ndim == 2 else pixels[None])


def sets_of(place: str) -> dict[str, list[Pair]]:
    """Return the pairs of a folder by the name of their set: each folder in it, or itself.

    The smallest set comes first.

    Raises:
        DataError: There are none, or one has no partner.
    """
    folder = find_data(place)
    if not folder.is_dir():
        raise DataError(f"there is no folder {place}", hint=_HINT)
    whole = folder.resolve()
    found = {part.name: _pairs(part) for part in sorted(whole.iterdir())}
    own = _pairs(whole)
    if own:
        found[whole.name] = own
    if not any(found.values()):
        raise DataError(f"folder {place} has no pairs of photographs", hint=_HINT)
    small_first = sorted(found.items(), key=lambda item: len(item[1]))
    return {name: pairs for name, pairs in small_first if pairs}


def _pairs(folder: Path) -> list[Pair]:
    if not folder.is_dir():
        return []
    large = [f for f in sorted(folder.iterdir()) if f.stem.endswith(_LARGE)]
    pairs = []
    for file in (f for f in large if f.suffix.lower() in SUFFIXES):
        small = file.with_name(file.stem.removesuffix(_LARGE) + _SMALL + file.suffix)
        if not small.is_file():
            raise DataError(f"photograph {file} has no {small.name} beside it", hint=_HINT)
        pairs.append(Pair(file, small))
    return pairs


def hash_pairs(name: str, pairs: Sequence[Pair]) -> str:
    """Return the sha256 of the files of a set.

    Args:
        name: Of the set.
        pairs: Its photographs.
    """
    places = [path.name for pair in pairs for path in (pair.large, pair.small)]
    return hash_files(name, "pairs", pairs[0].large.parent, places)
