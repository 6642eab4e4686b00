"""Image files in one folder per class."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from superdef_bench import ConfigError, DataError, hookimpl, progress_bar

_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}


class ImageFolder:
    """Images under `path/split/<class>/`, classes in alphabetical order.

    The order takes classes in turn, and within a class goes by the sha256 of the file's place,
    so that every prefix is balanced and a larger limit keeps the images of a smaller one.

    Args:
        path: Folder.
        split: Folder below it; empty if the classes stand in `path` itself.
        name: Name in tables; by default that of the folder.
        size: Resize the shorter side to this many pixels (bicubic, antialiased); 0 keeps it.
        crop: Cut out the middle square of this many pixels; 0 keeps all.

    Raises:
        DataError: The folder is missing, or has fewer than two classes with images.
    """

    def __init__(
        self, *, path: str, split: str = "", name: str = "", size: int = 0, crop: int = 0
    ) -> None:
        if size < 0 or crop < 0:
            raise ConfigError("size and crop are pixels", hint="0 keeps the image as it is")
        self._root = Path(path).expanduser() / split
        self.name = name or Path(path).resolve().name
        self.split, self._size, self._crop = split, size, crop
        if not self._root.is_dir():
            raise DataError(
                f"image folder {self._root} does not exist",
                hint="a relative path starts at the current folder; see docs/datasets.md",
            )
        folders = sorted(f for f in self._root.iterdir() if f.is_dir() and f.name[0] != ".")
        found = {folder.name: self._files(folder) for folder in folders}
        empty = [name for name, files in found.items() if not files]
        if empty:
            raise DataError(f"image folder {self._root / empty[0]} has no images")
        if len(found) < 2:
            raise DataError(
                f"image folder {self._root} has {len(found)} classes, a classifier needs two",
                hint="each class has a folder of its own; below train/ or test/ set split",
            )
        self.class_names = list(found)
        self.num_classes = len(found)
        rounds = zip_longest(*found.values())
        self.ids = [place for place in chain.from_iterable(rounds) if place is not None]

    def _files(self, folder: Path) -> list[str]:
        files = (f for f in folder.rglob("*") if f.suffix.lower() in _SUFFIXES)
        places = (f.relative_to(self._root).as_posix() for f in files)
        return sorted(places, key=lambda place: hashlib.sha256(place.encode()).digest())

    @cached_property
    def sha256(self) -> str:
        """Hash of every image's place and bytes, and of what is done to it."""
        digest = hashlib.sha256(f"{self._size}/{self._crop}".encode())
        with progress_bar(len(self.ids)) as bar:
            for number, place in enumerate(sorted(self.ids)):
                content = (self._root / place).read_bytes()
                digest.update(place.encode() + hashlib.sha256(content).digest())
                bar.show(f"hashing {self.name}", f"{number + 1}/{len(self.ids)} images")
                bar.advance(1)
        return digest.hexdigest()

    def load(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return images `(N, 3, H, W)` in [0, 1] and labels `(N,)`.

        Raises:
            DataError: An image is damaged, or differs in size from the others.
        """
        places = [self.ids[index] for index in indices]
        images = [self._read(self._root / place) for place in places]
        shapes = {image.shape: place for image, place in zip(images, places, strict=True)}
        if len(shapes) > 1:
            sizes = ", ".join(f"{place} {s[1]}x{s[0]}" for s, place in shapes.items())
            raise DataError(
                f"images differ in size: {sizes}",
                hint="set size and crop",
            )
        labels = [self.class_names.index(place.split("/")[0]) for place in places]
        stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        return stacked.float().contiguous() / 255, torch.tensor(labels)

    def _read(self, file: Path) -> np.ndarray:
        try:
            with Image.open(file) as opened:
                picture = opened.convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise DataError(
                f"image {file} cannot be read: {error}", hint="replace it or take it out"
            ) from error
        if self._size:
            scale = self._size / min(picture.size)
            wide, high = (max(self._size, round(side * scale)) for side in picture.size)
            picture = picture.resize((wide, high), Image.Resampling.BICUBIC)
        if self._crop:
            if min(picture.size) < self._crop:
                raise DataError(
                    f"image {file} has {picture.size[0]}x{picture.size[1]} pixels, "
                    f"too few to crop {self._crop}",
                    hint="set size to at least crop",
                )
            left, top = ((side - self._crop) // 2 for side in picture.size)
            picture = picture.crop((left, top, left + self._crop, top + self._crop))
        return np.asarray(picture)


@hookimpl
def register_datasets() -> dict[str, type[ImageFolder]]:
    return {"imagefolder": ImageFolder}
