"""Image files in one folder per class, or in one folder with a table of labels."""

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
    hash_files,
    read_file,
    read_picture,
    to_images,
)

_MOST_TEXT = 2**27  # bytes of a list of classes, which may name many more than are taken
_MOST_CLASSES = 100_000  # ImageNet-21k has 21,841
_MOST_PIXELS = 89_478_485  # of a resized image, as of one in a file
_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}


class ImageFolder:
    """Images under `path/split/<class>/`, or listed in a CSV of labels.

    The order takes classes in turn, and within a class goes by the sha256 of the file's place,
    so that every prefix is balanced and a larger limit keeps the images of a smaller one.

    Args:
        path: Folder.
        split: Folder below it; empty if the classes stand in `path` itself.
        name: Name in tables; by default that of the folder.
        size: Resize the shorter side to this many pixels (bicubic, antialiased); 0 keeps it.
        crop: Cut out the middle square of this many pixels; 0 keeps all.
        classes: Text file with one class per line, in the order of the classifier; by default
            the folders in alphabetical order. A class without a folder has no images.
        labels: CSV that names each image of the folder `path/split` and its label, by default
            as the NIPS 2017 adversarial competition does; no folders per class then.
        image_column: Column of the image.
        image_suffix: What follows the name there to make that of the file.
        label_column: Column of the label.
        label_base: Label of the first class.
        num_classes: Number of classes with `labels`; 0 counts `classes`, or up to the largest
            label.

    Raises:
        DataError: The folder, a file or the table is missing or makes no sense.
    """

    def __init__(
        self,
        *,
        path: str,
        split: str = "",
        name: str = "",
        size: int = 0,
        crop: int = 0,
        classes: str = "",
        labels: str = "",
        image_column: str = "ImageId",
        image_suffix: str = ".png",
        label_column: str = "TrueLabel",
        label_base: int = 1,
        num_classes: int = 0,
    ) -> None:
        if size < 0 or crop < 0:
            raise ConfigError("size and crop are pixels", hint="0 keeps the image as it is")
        if num_classes and not labels:
            raise ConfigError(
                "num_classes belongs to labels", hint="classes lists those of a folder"
            )
        self._root = Path(path).expanduser() / split
        self.name = name or Path(path).resolve().name
        self.split, self._size, self._crop = split, size, crop
        self._listed = bool(classes or labels)
        if not self._root.is_dir():
            raise DataError(
                f"image folder {self._root} does not exist",
                hint="a relative path starts at the current folder; see docs/datasets.md",
            )
        names = _class_names(Path(classes).expanduser()) if classes else []
        if len(names) > _MOST_CLASSES:
            raise DataError(
                f"list of classes {classes} has {len(names):,} lines",
                hint=f"at most {_MOST_CLASSES:,} classes are taken, one a line",
            )
        if num_classes and names and num_classes != len(names):
            raise ConfigError(
                f"num_classes is {num_classes}, {classes} lists {len(names)}",
                hint="leave num_classes out",
            )
        if labels:
            columns = LabelColumns(
                image_column, image_suffix, label_column, label_base, settable=True
            )
            table = LabelTable(Path(labels).expanduser(), self._root, columns)
            self._labels = table.labels
            count = len(names) or num_classes or max(self._labels.values()) + 1
            if count > _MOST_CLASSES:
                raise DataError(
                    f"table {labels} has labels for {count:,} classes",
                    hint=f"at most {_MOST_CLASSES:,} are taken; is label_column the right one?",
                )
            table.check_range(count)
            self.class_names = names or [str(label) for label in range(count)]
        else:
            self._labels, self.class_names = self._folders(names)
        self.num_classes = len(self.class_names)
        if self.num_classes < 2:
            raise DataError(
                f"image folder {self._root} has {self.num_classes} classes, a classifier needs two",
                hint="each class has a folder of its own; below train/ or test/ set split",
            )
        members: list[list[str]] = [[] for _ in self.class_names]
        for place, label in self._labels.items():
            members[label].append(place)
        self.ids = balanced_order(members)

    def _folders(self, names: list[str]) -> tuple[dict[str, int], list[str]]:
        """Return the label of each image and the names of the classes."""
        folders = sorted(f for f in self._root.iterdir() if f.is_dir() and f.name[0] != ".")
        found = {folder.name: self._files(folder) for folder in folders}
        empty = [name for name, files in found.items() if not files]
        if empty:
            raise DataError(f"image folder {self._root / empty[0]} has no images")
        if not names:
            names = list(found)
        elif not found:
            raise DataError(f"image folder {self._root} has none of the classes listed")
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f"class {twice!r} is listed twice", hint="a folder is one class")
        known = set(names)
        strange = [name for name in found if name not in known]
        if strange:
            raise DataError(
                f"image folder {self._root / strange[0]} is no class that is listed",
                hint=f"{len(strange)} of {len(found)} folders are not; "
                "list the names of the folders, one a line",
            )
        numbers = {name: number for number, name in enumerate(names)}
        return {place: numbers[name] for name in found for place in found[name]}, names

    def _files(self, folder: Path) -> list[str]:
        files = (f for f in folder.rglob("*") if f.suffix.lower() in _SUFFIXES)
        return [f.relative_to(self._root).as_posix() for f in files]

    @cached_property
    def sha256(self) -> str:
        """Hash of every image's place and bytes, of what is done to it, and of listed labels."""
        settings = f"{self._size}/{self._crop}"
        if self._listed:
            settings += json.dumps([self.class_names, sorted(self._labels.items())])
        return hash_files(self.name, settings, self._root, self.ids)

    def load(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return images `(N, 3, H, W)` in [0, 1] and labels `(N,)`.

        Raises:
            DataError: An image cannot be used as it is, or differs in size from the others.
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
        return to_images(images), torch.tensor([self._labels[place] for place in places])

    def _read(self, file: Path) -> np.ndarray:
        picture = read_picture(file).convert("RGB")
        if self._size:
            scale = self._size / min(picture.size)
            wide, high = (max(self._size, round(side * scale)) for side in picture.size)
            if wide * high > _MOST_PIXELS:
                raise DataError(
                    f"image {file} would have {wide}x{high} pixels", hint="take a smaller size"
                )
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


def _class_names(file: Path) -> list[str]:
    try:
        text = read_file(file, most=_MOST_TEXT).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", "") or "it is no UTF-8 text"
        raise DataError(f"list of classes {file} cannot be read: {reason}") from error
    names = [line.strip() for line in text.rstrip().splitlines()]
    if not all(names):
        line = names.index("") + 1
        raise DataError(
            f"list of classes {file}, line {line}: it is empty", hint="one class a line"
        )
    return names
