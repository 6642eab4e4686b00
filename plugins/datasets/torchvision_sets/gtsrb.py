"""The German Traffic Sign Recognition Benchmark."""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from zipfile import ZipFile

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from superdef_bench import balanced_order, data_directory, hash_files, read_picture, to_images

from .fetch import Archive, Source, fetch
from .gtsrb_layout import official_layout, track_of

# As torchvision gets and checks them; it keeps them inside of its function.
_FROM = "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370"
_ARCHIVES = {
    "train": [Archive(f"{_FROM}/GTSRB-Training_fixed.zip", "513f3c79a4c5141765e10e952eaa2478")],
    "test": [
        Archive(f"{_FROM}/GTSRB_Final_Test_Images.zip", "c7e4e6327067d32654124b0fe9e82185"),
        Archive(f"{_FROM}/GTSRB_Final_Test_GT.zip", "fe31e9c9270bbcd7b84b7f21a9d9d9e5"),
    ],
}
_FOLDERS = {"train": Path("GTSRB/Training"), "test": Path("GTSRB/Final_Test/Images")}

CLASS_NAMES = (
    *(f"speed limit {speed}" for speed in (20, 30, 50, 60, 70, 80)),
    *("end of speed limit 80", "speed limit 100", "speed limit 120"),
    *("no overtaking", "no overtaking by trucks", "priority at the next crossing"),
    *("priority road", "give way", "stop", "closed to vehicles", "no trucks", "no entry"),
    *("danger", "bend to the left", "bend to the right", "double bend", "uneven road"),
    *("slippery road", "road narrows", "road works", "traffic lights", "pedestrians"),
    *("children", "cyclists", "snow or ice", "wild animals", "end of all limits"),
    *("turn right ahead", "turn left ahead", "straight on", "straight on or right"),
    *("straight on or left", "keep right", "keep left", "roundabout"),
    *("end of no overtaking", "end of no overtaking by trucks"),
)


class Gtsrb:
    """GTSRB: photographs of 43 German traffic signs (Stallkamp et al., IJCNN 2011).

    The photographs are of many sizes and not square; each is resized as a whole (bicubic,
    antialiased). An id is `<split>/<place of the file>`.

    Args:
        split: `train` or `test`.
        size: Height and width in pixels.
        download: Download what is not there.
        path: Folder in the layout of the archives, with `GTSRB` in it, in place of a download. The
            dataset is then called after it, since nobody checked what it holds.

    Attributes:
        groups: Of each image the track that it is a frame of, in the order of `ids`; a test image
            is alone. Frames of a track are near copies, and never straddle a split.

    Raises:
        DataError: The data is not there and cannot be downloaded, or is damaged.
    """

    def __init__(
        self,
        *,
        split: Literal["train", "test"] = "test",
        size: int = 32,
        download: bool = True,
        path: str = "",
    ) -> None:
        if not 1 <= size <= 1024:
            raise ValueError(f"size is {size}, take 1 to 1024 pixels")
        self.split, self._size = split, size
        if path:
            folder = Path(path).expanduser()
            place = folder.resolve().name
            self.name = f"{place} (folder)" if place == "gtsrb" else place  # nobody checked it
            layout = official_layout(folder, split, len(CLASS_NAMES))
            self._root = layout.root
            self._labels = {f"{split}/{place}": label for place, label in layout.labels.items()}
        else:
            self.name = "gtsrb"
            source = gtsrb_source(split)
            self._root = source.folder / _FOLDERS[split]
            self._labels = fetch(source, self._list, download=download)
        self.class_names = list(CLASS_NAMES)
        self.num_classes = len(CLASS_NAMES)
        members: list[list[str]] = [[] for _ in CLASS_NAMES]
        for name, label in self._labels.items():
            members[label].append(name)
        self.ids = balanced_order(members)
        self.groups = [track_of(each) if split == "train" else each for each in self.ids]

    def _list(self, online: bool) -> dict[str, int]:
        """Return the label of each id, and see that every image is there."""
        from torchvision import datasets

        found: Any = datasets.GTSRB(data_directory(), split=self.split, download=online)
        # Private, but the public way to a label opens the image.
        samples = {Path(file).relative_to(self._root): label for file, label in found._samples}
        absent = [place for place in samples if not (self._root / place).is_file()]
        archive = data_directory() / "gtsrb" / _ARCHIVES[self.split][0].name
        if self.split == "train" and archive.is_file():
            absent += _not_unpacked(archive)
        if absent:
            raise RuntimeError(f"{absent[0]} is missing, {len(absent)} images are")
        # torchvision numbers the folders that are there, whatever their names.
        shifted = self.split == "train" and any(int(p.parts[0]) != n for p, n in samples.items())
        if shifted or not samples or not all(0 <= n < 43 for n in samples.values()):
            raise RuntimeError("there must be 43 classes, 00000 to 00042")
        return {f"{self.split}/{place.as_posix()}": label for place, label in samples.items()}

    @cached_property
    def sha256(self) -> str:
        """Hash of every file, every label and the size."""
        settings = json.dumps([self._size, sorted(self._labels.items())])
        places = (name.partition("/")[2] for name in self.ids)
        return hash_files(self.name, settings, self._root, places)

    def load(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return images `(N, 3, size, size)` in [0, 1] and labels `(N,)`.

        Raises:
            DataError: An image is damaged.
        """
        names = [self.ids[index] for index in indices]
        pixels = [self._read(name.partition("/")[2]) for name in names]
        return to_images(pixels), torch.tensor([self._labels[name] for name in names])

    def _read(self, place: str) -> np.ndarray:
        picture = read_picture(self._root / place).convert("RGB")
        shape = (self._size, self._size)
        return np.asarray(picture.resize(shape, Image.Resampling.BICUBIC))


def gtsrb_source(split: str) -> Source:
    """Return what a split is on disk."""
    folder = data_directory() / "gtsrb"
    unpacked = {folder / _FOLDERS[split]: ""}
    if split == "test":
        unpacked[folder / "GT-final_test.csv"] = ""
    return Source("gtsrb", folder, _ARCHIVES[split], unpacked)


def _not_unpacked(archive: Path) -> list[Path]:
    """Return the images of an archive that are not beside it: unpacking was interrupted."""
    with ZipFile(archive) as opened:
        files = [Path(name) for name in opened.namelist() if name.endswith(".ppm")]
    return [file for file in files if not (archive.parent / file).is_file()]
