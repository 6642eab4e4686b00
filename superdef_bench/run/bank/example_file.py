"""Adversarial images in a file of their own, so that they are replayed and never made again."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from superdef_bench.core.errors import ConfigError, DataError
from superdef_bench.core.shipped import shipped
from superdef_bench.io.files import read_file, write_atomically

_MOST_BYTES = 2**33  # of a file of examples: 50,000 images of 224 pixels
# Type and dimensions of each tensor.
_KINDS = {"ids": (torch.int64, 1), "labels": (torch.int64, 1), "images": (torch.uint8, 4)}
_TOLD = ("dataset", "attack", "norm", "eps", "weights")


@dataclass(frozen=True)
class ExampleFile:
    """Adversarial images and what they were made of.

    Attributes:
        ids: Image ids, int64 `(N,)`.
        labels: int64 `(N,)`.
        images: uint8 `(N, C, H, W)`.
        metadata: `dataset`, `attack`, `norm`, `eps` as the field writes it, and `weights`, the
            sha256 of the attacked classifier's weights.
    """

    ids: Tensor
    labels: Tensor
    images: Tensor
    metadata: Mapping[str, str]

    def save(self, path: Path) -> str:
        """Write the file and return its sha256."""
        tensors = {"ids": self.ids, "labels": self.labels, "images": self.images}
        packed = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        content = safetensors.torch.save(packed, metadata=dict(self.metadata))
        write_atomically(path, content)
        return hashlib.sha256(content).hexdigest()

    def of(self, ids: Tensor, labels: Tensor) -> Tensor:
        """Return the examples of images, float32 `(len(ids), C, H, W)` in [0, 1].

        Raises:
            DataError: The file lacks an image, or was made for another label.
        """
        ours = {number: place for place, number in enumerate(self.ids.tolist())}
        places = [ours.get(number, -1) for number in ids.tolist()]
        if -1 in places:
            raise DataError(
                f"the file of examples lacks {places.count(-1)} of {len(places)} images",
                hint="give the attack a limit, or write a file of as many images",
            )
        found = torch.tensor(places)
        other = int((self.labels[found] != labels.cpu()).sum())
        if other:
            raise DataError(
                f"{other} of {len(places)} examples were made for another label",
                hint="the file belongs to another dataset",
            )
        return (self.images[found].float() / 255.0).to(ids.device)


def read_examples(name: str, sha256: str) -> ExampleFile:
    """Read a file of examples, from the current folder, else from among the shipped ones.

    Raises:
        ConfigError: There is no such file.
        DataError: It is not the one that the hash names, or holds no examples.
    """
    path = _find(name)
    content = _content(path)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DataError(
            f"examples {path} have sha256 {found}, the config says {sha256 or 'nothing'}",
            hint="take the file that the config was written for, or name this one's hash",
        )
    return _parsed(path, content)


def open_examples(path: Path) -> ExampleFile:
    """Read a file of examples whose hash nobody named.

    Raises:
        DataError: It cannot be read, or holds no examples.
    """
    return _parsed(path, _content(path))


def _content(path: Path) -> bytes:
    try:
        return read_file(path, most=_MOST_BYTES)
    except OSError as error:
        raise DataError(
            f"examples {path} cannot be read: {error.strerror}",
            hint="superdef-bench examples RUN ATTACK -o FILE writes one",
        ) from error


def _parsed(path: Path, content: bytes) -> ExampleFile:
    try:
        tensors = safetensors.torch.load(content)
        _check_tensors(tensors)
    except (safetensors.SafetensorError, ValueError) as error:
        raise DataError(
            f"{path} is no file of examples: {' '.join(str(error).split())}",
            hint="superdef-bench examples RUN ATTACK -o FILE writes one",
        ) from error
    return ExampleFile(**tensors, metadata=_metadata(path))


def _check_tensors(tensors: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless they are those of a file of examples."""
    if tensors.keys() != _KINDS.keys():
        raise ValueError(f"it holds {', '.join(map(repr, sorted(tensors)))[:80]}")
    for name, (dtype, dimensions) in _KINDS.items():
        tensor = tensors[name]
        if tensor.dtype != dtype or tensor.ndim != dimensions:
            raise ValueError(f"its {name} are {tensor.dtype} {tuple(tensor.shape)}")
    if len({len(tensor) for tensor in tensors.values()}) != 1:
        raise ValueError("its ids, labels and images are not as many")


def _metadata(path: Path) -> dict[str, str]:
    with safetensors.safe_open(path, framework="pt") as file:
        found: dict[str, str] = file.metadata() or {}
    return {name: found.get(name, "") for name in _TOLD}


def _find(name: str) -> Path:
    places = [Path(name).expanduser(), shipped("configs") / "examples" / name]
    for path in places:
        if path.is_file():
            return path
    raise ConfigError(
        f"there is no file of examples {name!r}",
        hint="its path is from the current folder; superdef-bench examples writes one",
    )
