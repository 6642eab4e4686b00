"""The images that recipes train on: photographs or classes, and their splits."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from superdef_bench.core import loader
from superdef_bench.core.errors import ConfigError, DataError, SuperdefError, did_you_mean
from superdef_bench.core.named_dataset import named_dataset
from superdef_bench.core.types import Dataset
from superdef_bench.io.files import data_directory, find_data
from superdef_bench.io.progress import progress_bar
from superdef_bench.training.photographs import Photographs, dataset_photographs, read_photographs


def dataset_of(data: str) -> tuple[str, dict[str, Any]] | None:
    """Return the dataset plugin that `data` means, and its arguments; None for a place on disk.

    Args:
        data: Name of a plugin, or an inline table as in a config, such as
            `{ plugin = "gtsrb", path = "data/gtsrb-32" }`. `./name` means the folder.

    Raises:
        ConfigError: The table is none, names no plugin, or has a split.
    """
    plugin = named_dataset(data, "--data")
    if plugin and "split" in plugin[1]:
        raise ConfigError(
            f"--data {data} has a split", hint="leave it out: training takes those it needs"
        )
    return plugin


def photographs_of(data: str, scale: int, *, least: int) -> Photographs:
    """Return the photographs that `data` names, of a dataset plugin its training images.

    Raises:
        DataError: They are missing, too few, too small, or one cannot be read.
    """
    plugin = dataset_of(data)
    if plugin is None:
        place = find_data(data)
        if not place.exists():
            close = did_you_mean(data, loader.plugins().plugins["dataset"])
            hint = f"put photographs there, or name a folder or a zip of them; {close}"
            raise DataError(
                f"training data {data} does not exist, neither here nor in {data_directory()}",
                hint=hint,
            )
        return read_photographs(place, scale, least=least)
    name, arguments = plugin
    dataset = loader.load_dataset(name, **arguments, split="train")
    return dataset_photographs(dataset, scale, least=least)


_AT_ONCE = 1000
_PIXELS = 2**22
_HINT = "--data takes a dataset plugin with splits train and test, or a folder that holds them"


class Splits(NamedTuple):
    """Three datasets of the same classes."""

    train: Dataset
    validation: Dataset
    test: Dataset


class Part:
    """Some images of a dataset, in its order.

    Args:
        whole: The dataset.
        split: Name of the part.
        places: Of its images in the dataset.
    """

    def __init__(self, whole: Dataset, split: str, places: Sequence[int]) -> None:
        self.name, self.split = whole.name, split
        self.num_classes, self.class_names = whole.num_classes, whole.class_names
        self.ids: Sequence[str] = [whole.ids[place] for place in places]
        self._whole, self._places = whole, places

    @cached_property
    def sha256(self) -> str:
        """Hash of the whole and of which part it is."""
        return hashlib.sha256(f"{self._whole.sha256}/{self._places}".encode()).hexdigest()

    def load(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return images `(N, C, H, W)` in [0, 1] and labels `(N,)`."""
        return self._whole.load([self._places[index] for index in indices])


def splits_of(data: str) -> Splits:
    """Return what to train, validate and test on.

    Where there is no split `validation`, the last tenth of `train` is held out for it.

    Args:
        data: Name of a dataset plugin, or a folder of images: `train/<class>/`, `test/<class>/`
            and, if it likes, `validation/<class>/`.

    Raises:
        ConfigError: The plugin has no split `train` or `test`.
        DataError: Images are missing, or the splits differ in their classes.
    """
    plugin = dataset_of(data)
    splits = _plugin_splits(*plugin) if plugin else _folder_splits(data)
    for other in splits[1:]:
        if list(other.class_names) != list(splits.train.class_names):
            strange = set(other.class_names) ^ set(splits.train.class_names)
            raise DataError(
                f"splits train and {other.split} of {data} differ in their classes: "
                f"{', '.join(sorted(strange)) or 'their order'}",
                hint="each needs images of the same classes",
            )
    return splits


def _plugin_splits(name: str, arguments: Mapping[str, Any]) -> Splits:
    train, test = (_required(name, arguments, split) for split in ("train", "test"))
    try:
        return Splits(train, loader.load_dataset(name, **arguments, split="validation"), test)
    except DataError:
        raise
    except SuperdefError:  # it has no such split
        return Splits(*_hold_out(train), test)


def _required(name: str, arguments: Mapping[str, Any], split: str) -> Dataset:
    try:
        return loader.load_dataset(name, **arguments, split=split)
    except DataError:
        raise
    except SuperdefError as error:
        raise ConfigError(
            f"dataset {name!r} gives no split {split!r}: {error.message}", hint=_HINT
        ) from error


def _folder_splits(data: str) -> Splits:
    folder = find_data(data).resolve()
    if not folder.is_dir():
        known = loader.plugins().plugins["dataset"]
        raise DataError(
            f"there is no dataset plugin and no folder {data!r}",
            hint=did_you_mean(data, known, more=_HINT),
        )
    found = {split: (folder / split).is_dir() for split in ("train", "validation", "test")}
    missing = [split for split in ("train", "test") if not found[split]]
    if missing:
        raise DataError(f"folder {data} has no folder {' and no '.join(missing)}", hint=_HINT)
    train, validation, test = (
        loader.load_dataset("imagefolder", path=str(folder), split=split, name=folder.name)
        if found[split]
        else None
        for split in found
    )
    assert train is not None
    assert test is not None
    return Splits(train, validation, test) if validation else Splits(*_hold_out(train), test)


def _hold_out(train: Dataset) -> tuple[Dataset, Dataset]:
    """Return all but a tenth of a dataset, and that tenth.

    It is the last one, as balanced as the whole is. Where the dataset gives `groups`, images that
    belong together, it is whole groups, a tenth of those of each class.
    """
    count = len(train.ids)
    groups: Sequence[str] | None = getattr(train, "groups", None)
    kept: Sequence[int] = range(count - count // 10)
    held: Sequence[int] = range(count - count // 10, count)
    if groups:
        held = _tenth_of_groups(train, groups)
        kept = sorted(set(range(count)).difference(held))
    if not held:
        raise DataError(
            f"{count} training images of {train.name} are too few to hold out a tenth",
            hint="give more images",
        )
    return Part(train, "train", kept), Part(train, "validation", held)


def _tenth_of_groups(train: Dataset, groups: Sequence[str]) -> list[int]:
    """Return the places of the images of some groups: a tenth of those of each class, or one.

    Which is drawn by the sha256 of their names. A group may be of several classes; none is taken
    that would leave a class without images to train on, or by which more than a third of all
    images were held out.

    Raises:
        DataError: No group can be held out.
    """
    if len(groups) != len(train.ids):
        raise DataError(
            f"dataset {train.name} gives {len(groups)} groups for {len(train.ids)} images",
            hint="groups has one name for each of ids",
        )
    _, labels = read_all(train)
    of_class: dict[int, set[str]] = {}
    for group, label in zip(groups, labels.tolist(), strict=True):
        of_class.setdefault(label, set()).add(group)
    sizes, room = Counter(groups), len(groups) // 3
    held: set[str] = set()
    for names in of_class.values():
        wanted = max(1, round(len(names) / 10))
        for name in sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest()):
            if len(names & held) >= wanted:
                break
            spares = all(each - held - {name} for each in of_class.values() if name in each)
            if name not in held and spares and sizes[name] <= room:
                held.add(name)
                room -= sizes[name]
    if not held:
        raise DataError(
            f"the {len(sizes)} groups of {train.name} are too few to hold out a tenth",
            hint="give a split validation, or more groups",
        )
    return [place for place, group in enumerate(groups) if group in held]


def check_batch(train: Dataset, size: int) -> None:
    """Raise DataError unless a dataset has enough images for one batch."""
    if len(train.ids) < size:
        raise DataError(
            f"{len(train.ids)} training images are fewer than a batch of {size}",
            hint="give more images or a smaller --batch-size",
        )


def at_once(image: Tensor, most: int) -> int:
    """Return how many images like `image` `(C, H, W)` to hold at once: fewer if they are large."""
    return max(1, min(most, _PIXELS // image[0].numel()))


def read_all(dataset: Dataset) -> tuple[Tensor, Tensor]:
    """Return all images as uint8 `(N, C, H, W)` and labels `(N,)`."""
    images, labels, total = [], [], len(dataset.ids)
    size = at_once(dataset.load([0])[0][0], _AT_ONCE)
    with progress_bar(total) as bar:
        for start in range(0, total, size):
            x, y = dataset.load(range(start, min(start + size, total)))
            images.append((x * 255).round().byte())
            labels.append(y)
            bar.show(f"reading {dataset.name} {dataset.split}", f"{start + len(x)}/{total} images")
            bar.advance(len(x))
    return torch.cat(images), torch.cat(labels)
