"""The dataset that a subset is drawn from: its splits, classes, labels and groups."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from superdef_bench.core import loader
from superdef_bench.core.errors import ConfigError, DataError, SuperdefError, did_you_mean
from superdef_bench.core.named_dataset import named_dataset
from superdef_bench.core.types import Dataset
from superdef_bench.io.progress import progress_bar
from superdef_bench.subset.draw import Pool

AT_ONCE = 64  # images that a dataset is asked for in one call
_OWN = """images of your own: '{ plugin = "imagefolder", path = "..." }'"""


@dataclass(frozen=True)
class Source:
    """A dataset to draw from.

    Attributes:
        plugin: Name of its plugin.
        train: What training and validation images are drawn from.
        test: What test images are drawn from; `train` itself where there is one split alone.
    """

    plugin: str
    train: Dataset
    test: Dataset

    @property
    def is_one_split(self) -> bool:
        """Whether all parts are drawn from the same images."""
        return self.train is self.test

    def of(self, part: str) -> Dataset:
        """Return what the images of a part of the subset are drawn from."""
        return self.test if part == "test" else self.train


def open_source(words: str) -> Source:
    """Return the dataset that words name.

    Args:
        words: Name of a dataset plugin, or a table as in a config. One that has no splits `train`
            and `test`, or a table that names a split, gives one split for all parts.

    Raises:
        ConfigError: They name no dataset plugin, or one that cannot be built so.
        DataError: Images are missing, or the splits differ in their classes.
    """
    named = named_dataset(words, "dataset")
    if named is None:
        known = loader.plugins().plugins["dataset"]
        raise ConfigError(
            f"there is no dataset plugin {words!r}", hint=f"{did_you_mean(words, known)}; {_OWN}"
        )
    name, arguments = named
    train = test = None
    if "split" not in arguments:
        train, test = (_split(name, arguments, split) for split in ("train", "test"))
    if train is None or test is None:
        one = train or test or loader.load_dataset(name, **arguments)
        return Source(name, one, one)
    if list(train.class_names) != list(test.class_names):
        raise DataError(
            f"splits train and test of {train.name} differ in their classes",
            hint="each needs images of the same classes",
        )
    return Source(name, train, test)


def _split(name: str, arguments: Mapping[str, Any], split: str) -> Dataset | None:
    """Return a split of a dataset; None if it has none of that name."""
    try:
        return loader.load_dataset(name, **arguments, split=split)
    except DataError:
        raise
    except SuperdefError:
        return None


def groups_of(dataset: Dataset) -> Sequence[str] | None:
    """Return what each image of a dataset belongs to; None where it does not say.

    Raises:
        DataError: They are not as many as the images.
    """
    groups: Sequence[str] | None = getattr(dataset, "groups", None)
    if groups and len(groups) != len(dataset.ids):
        raise DataError(
            f"dataset {dataset.name} gives {len(groups)} groups for {len(dataset.ids)} images",
            hint="groups has one name for each of ids",
        )
    return groups or None


def pool_of(dataset: Dataset) -> Pool:
    """Return the images of a dataset, to draw from: all are read once, for their labels.

    An image that belongs to no group is one by itself.

    Raises:
        DataError: An image cannot be read, or the groups are not as many as the images.
    """
    groups = groups_of(dataset) or dataset.ids
    labels: list[int] = []
    total = len(dataset.ids)
    with progress_bar(total) as bar:
        for start in range(0, total, AT_ONCE):
            _, found = dataset.load(range(start, min(start + AT_ONCE, total)))
            labels += found.tolist()
            bar.show(f"reading {dataset.name} {dataset.split}", f"{len(labels)}/{total} images")
            bar.advance(len(found))
    title = f"{dataset.name}, split {dataset.split}" if dataset.split else dataset.name
    return Pool(title, dataset.ids, labels, groups, dataset.class_names)
