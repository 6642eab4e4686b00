"""The ImageNet images that RobustBench reports on."""

import importlib.util
import io
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from superdef_bench import (
    ConfigError,
    DataError,
    balanced_order,
    hash_files,
    hookimpl,
    read_file,
    to_images,
)

_MOST_BYTES = 2**26  # of an image; those of the set have some hundred thousand
_LARGEST = 4096  # pixels of a side; models are evaluated at up to 600
_LIST = "imagenet_test_image_ids.txt"
_CLASSES = "imagenet_class_to_id_map.json"


class ImageNet:
    """RobustBench's 5,000 ImageNet validation images, from a local folder.

    The set is that of Croce et al. (RobustBench, NeurIPS Datasets and Benchmarks 2021), resized
    and cropped as there. The order is this benchmark's: classes in turn. Three of the 1,000
    classes have no image in the set, the others from 1 to 12.

    Args:
        path: Folder that holds `val/<wnid>/*.JPEG`, or `<wnid>/*.JPEG`.
        size: Resize the shorter side to this many pixels (antialiased); 0 keeps it.
        crop: Cut out the middle square of this many pixels.
        interpolation: Of the resize; RobustBench takes `bicubic` for some of its models.

    Raises:
        DataError: An image of the set is missing.
    """

    name, split = "imagenet", "val"

    def __init__(
        self,
        *,
        path: str,
        size: int = 256,
        crop: int = 224,
        interpolation: Literal["bilinear", "bicubic"] = "bilinear",
    ) -> None:
        if not 1 <= crop <= _LARGEST or not (size == 0 or crop <= size <= _LARGEST):
            raise ConfigError(
                f"size is {size} and crop is {crop}",
                hint=f"take a size of at least crop, or 0, and at most {_LARGEST} pixels",
            )
        folder = Path(path).expanduser()
        self._root = folder / "val" if (folder / "val").is_dir() else folder
        if not self._root.is_dir():
            raise DataError(
                f"ImageNet folder {folder} does not exist",
                hint="put val/<wnid>/*.JPEG there, or set path in a copy of the config",
            )
        self._size, self._crop, self._interpolation = size, crop, interpolation
        self._numbers: dict[str, int] = json.loads(_robustbench(_CLASSES))
        self.class_names = sorted(self._numbers, key=lambda wnid: self._numbers[wnid])
        self.num_classes = len(self.class_names)
        members: dict[str, list[str]] = {wnid: [] for wnid in self.class_names}
        for place in _robustbench(_LIST).split():
            members[place.split("/")[0]].append(place)
        self.ids = balanced_order(members.values())
        self._check_images()

    def _check_images(self) -> None:
        absent = [place for place in self.ids if not (self._root / place).is_file()]
        if absent:
            raise DataError(
                f"ImageNet image {self._root / absent[0]} is missing: "
                f"{len(absent)} of {len(self.ids)} are",
                hint="the validation images lie in a folder per class, <wnid>/*.JPEG; "
                "see docs/datasets.md",
            )

    @cached_property
    def sha256(self) -> str:
        """Hash of every image's place and bytes, and of what is done to it."""
        settings = f"imagenet/{self._size}/{self._crop}/{self._interpolation}"
        return hash_files(self.name, settings, self._root, self.ids)

    def load(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return images `(N, 3, crop, crop)` in [0, 1] and labels `(N,)`.

        Raises:
            DataError: An image is damaged.
        """
        places = [self.ids[index] for index in indices]
        images = [self._read(self._root / place) for place in places]
        labels = [self._numbers[place.split("/")[0]] for place in places]
        return to_images(images), torch.tensor(labels)

    def _read(self, file: Path) -> np.ndarray:
        """Return pixels as RobustBench has them: any colour mode becomes RGB."""
        from torchvision.transforms import functional

        try:
            with Image.open(io.BytesIO(read_file(file, most=_MOST_BYTES))) as opened:
                picture = opened.convert("RGB")
        except Exception as error:  # decoders raise nearly anything on a damaged file
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())
            raise DataError(
                f"image {file} cannot be read: {reason or type(error).__name__}",
                hint="copy it from the archive again",
            ) from error
        if self._size:
            mode = functional.InterpolationMode(self._interpolation)
            picture = functional.resize(picture, self._size, mode)
        return np.asarray(functional.center_crop(picture, self._crop))


def _robustbench(file: str) -> str:
    """Return the text of a list that RobustBench brings, without importing it, which is slow."""
    spec = importlib.util.find_spec("robustbench")
    if spec is None or spec.origin is None:
        raise DataError("robustbench is not installed", hint="it lists the images of imagenet")
    return (Path(spec.origin).parent / "helper_files" / file).read_text()


@hookimpl
def register_datasets() -> dict[str, type[ImageNet]]:
    return {"imagenet": ImageNet}
