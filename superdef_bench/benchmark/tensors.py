"""A pair of tensors, images and labels, as a dataset."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeGuard

import torch
from torch import Tensor

from superdef_bench.core import fingerprint
from superdef_bench.core.errors import ConfigError
from superdef_bench.io.datasets import balanced_order


def is_pair(value: object) -> TypeGuard[Sequence[object]]:
    """Return whether a value is two things of which one is a tensor."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        return False
    return any(isinstance(part, Tensor) for part in value)


class TensorDataset:
    """Images and labels of a caller; ids are places in the tensors.

    Args:
        name: Its name.
        images: Floating point `(N, C, H, W)` in [0, 1].
        labels: Whole numbers `(N,)` from 0.
        classes: Returns how many classes the classifier of an image `(1, C, H, W)` has; called
            when that is needed.

    Raises:
        ConfigError: Shape, type or range is another.
    """

    split = "given"

    def __init__(
        self, name: str, images: object, labels: object, classes: Callable[[Tensor], int]
    ) -> None:
        self.name, self._classes = name, classes
        self.images, self._labels = checked_images(images), _labels(labels)
        if len(self.images) != len(self._labels):
            raise ConfigError(
                f"there are {len(self.images)} images and {len(self._labels)} labels",
                hint="give a label for each image",
            )
        self.sha256 = fingerprint.tensors({"images": self.images, "labels": self._labels})
        known = self._labels.tolist()
        of_class: dict[int, list[str]] = {label: [] for label in sorted(set(known))}
        for place, label in enumerate(known):
            of_class[label].append(f"{place:06d}")
        self.ids = balanced_order(of_class.values())

    @cached_property
    def num_classes(self) -> int:
        """As many as the classifier has logits.

        Raises:
            ConfigError: A label is above them.
        """
        classes, most = self._classes(self.load([0])[0]), int(self._labels.max())
        if most >= classes:
            raise ConfigError(
                f"the labels go up to {most}, the classifier has {classes} classes",
                hint="labels count from 0",
            )
        return classes

    @property
    def class_names(self) -> list[str]:
        """Numbers."""
        return [str(number) for number in range(self.num_classes)]

    def load(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return images, float32 `(n, C, H, W)` in [0, 1], and labels, int64 `(n,)`."""
        places = [int(self.ids[index]) for index in indices]
        return self.images[places].float(), self._labels[places].long()


def checked_images(value: object) -> Tensor:
    """Return images of a caller, on the CPU, of the type that they have.

    Args:
        value: Floating point `(N, C, H, W)` in [0, 1].

    Raises:
        ConfigError: Shape, type or range is another.
    """
    hint = "give floating point images (N, C, H, W) in [0, 1]"
    if not isinstance(value, Tensor):
        raise ConfigError(f"the images are a {type(value).__name__}, not a tensor", hint=hint)
    if value.ndim != 4 or 0 in value.shape:
        raise ConfigError(f"the images have the shape {tuple(value.shape)}", hint=hint)
    if not value.is_floating_point():
        raise ConfigError(f"the images are {value.dtype}", hint=f"{hint}: images.float() / 255")
    images = value.detach().cpu()
    if not bool(torch.isfinite(images).all()):
        raise ConfigError("the images have pixels that are NaN or infinite", hint=hint)
    low, high = float(images.min()), float(images.max())
    if low < 0 or high > 1:
        raise ConfigError(
            f"the images are in [{low:.4g}, {high:.4g}]",
            hint=f"{hint}; normalising is a part of the classifier",
        )
    return images


def _labels(value: object) -> Tensor:
    hint = "give whole numbers (N,) from 0"
    if not isinstance(value, Tensor):
        raise ConfigError(f"the labels are a {type(value).__name__}, not a tensor", hint=hint)
    whole = not (value.is_floating_point() or value.is_complex() or value.dtype == torch.bool)
    if not whole:
        raise ConfigError(f"the labels are {value.dtype}", hint=hint)
    if value.ndim != 1:
        raise ConfigError(f"the labels have the shape {tuple(value.shape)}", hint=hint)
    labels = value.detach().cpu()
    if len(labels) and int(labels.min()) < 0:
        raise ConfigError(f"a label is {int(labels.min())}", hint=hint)
    return labels
