"""A few photographs to look at, from the wheel of scikit-image."""

from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from superdef_bench import ConfigError, DataError, hash_files, hookimpl, read_picture, to_images

# Of each file: what ImageNet calls what it shows, as near as its classes come. CC0 are the cat
# and the coffee, in the public domain, by NASA, the astronaut and the rocket.
_PHOTOGRAPHS = {
    "astronaut.png": "bow tie",
    "chelsea.png": "Egyptian cat",
    "coffee.png": "espresso",
    "rocket.jpg": "missile",
}
_LARGEST = 300  # pixels of the shorter side of the smallest of them


class Photos:
    """Four photographs inside of scikit-image's wheel, for demonstration: no table ranks on them.

    Each is made smaller to `size` pixels on its shorter side (bicubic, antialiased), and its middle
    square is cut out. The labels are the classes of ImageNet that come nearest; nobody agreed on
    them, and four images are no measurement.

    Args:
        size: Height and width in pixels, up to 300.

    Raises:
        DataError: scikit-image is not installed, or lacks a photograph.
    """

    name, split = "photos", "demonstration"

    def __init__(self, *, size: int = 224) -> None:
        if not 32 <= size <= _LARGEST:
            raise ConfigError(f"size is {size}", hint=f"take 32 to {_LARGEST} pixels")
        spec = find_spec("skimage")
        if spec is None or spec.origin is None:
            raise DataError(
                "scikit-image is not installed", hint="pip install 'superdef-bench[photos]'"
            )
        from torchvision.models import ResNet18_Weights

        self._root, self._size = Path(spec.origin).parent / "data", size
        absent = [name for name in _PHOTOGRAPHS if not (self._root / name).is_file()]
        if absent:
            raise DataError(
                f"photograph {self._root / absent[0]} is missing", hint="install scikit-image again"
            )
        self.class_names = list(ResNet18_Weights.DEFAULT.meta["categories"])
        self.num_classes = len(self.class_names)
        self.ids = [Path(name).stem for name in _PHOTOGRAPHS]

    @cached_property
    def sha256(self) -> str:
        """Hash of the files and of the size."""
        return hash_files(self.name, f"photos/{self._size}", self._root, _PHOTOGRAPHS)

    def load(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return images `(N, 3, size, size)` in [0, 1] and labels `(N,)`."""
        files = [list(_PHOTOGRAPHS)[index] for index in indices]
        labels = [self.class_names.index(_PHOTOGRAPHS[file]) for file in files]
        return to_images([self._read(self._root / file) for file in files]), torch.tensor(labels)

    def _read(self, file: Path) -> np.ndarray:
        picture = read_picture(file).convert("RGB")
        scale = self._size / min(picture.size)
        shape = [max(self._size, round(scale * side)) for side in picture.size]
        picture = picture.resize((shape[0], shape[1]), Image.Resampling.BICUBIC)
        left, top = ((side - self._size) // 2 for side in shape)
        return np.asarray(picture.crop((left, top, left + self._size, top + self._size)))


@hookimpl
def register_datasets() -> dict[str, type[Photos]]:
    return {"photos": Photos}
