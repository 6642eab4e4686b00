"""What a subset is to be: how many images, of which classes, of what size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from superdef_bench.core.errors import ConfigError, DataError, did_you_mean
from superdef_bench.core.types import Dataset
from superdef_bench.subset.files import PARTS

_LARGEST = 1024  # pixels of a side


@dataclass(frozen=True)
class Wish:
    """What a subset is to be.

    Args:
        train: Training images of each class.
        validation: Validation images of each class; 0 for none.
        test: Test images of each class.
        classes: The first so many classes that have enough images; 0 for all.
        named: Names of the classes, in place of that.
        size: Height and width in pixels; 0 keeps them.
        seed: Of what is drawn.

    Raises:
        ConfigError: One is out of its range, or classes are both counted and named.
    """

    train: int
    validation: int
    test: int
    classes: int = 0
    named: Sequence[str] = ()
    size: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("train", 1), ("validation", 0), ("test", 1)):
            if getattr(self, name) < least:
                raise ConfigError(
                    f"--{name} is {getattr(self, name)}",
                    hint=f"it counts images of each class: take {least} or more",
                )
        if self.classes and self.named:
            raise ConfigError("--classes and --class do not go together", hint="drop one of them")
        if self.classes < 0 or self.classes == 1 or len(self.named) == 1:
            raise ConfigError(
                f"--class {self.named[0]} is one class"
                if self.named
                else f"--classes is {self.classes}",
                hint="a classifier needs two or more; --classes 0 takes all",
            )
        if not 0 <= self.size <= _LARGEST:
            raise ConfigError(
                f"--size is {self.size}", hint=f"take 1 to {_LARGEST} pixels; 0 keeps the size"
            )

    @property
    def counts(self) -> Mapping[str, int]:
        """Images of each class by part, in the order of `PARTS`."""
        return {part: getattr(self, part) for part in PARTS}

    def chosen(self, dataset: Dataset, short: Mapping[int, str]) -> list[int]:
        """Return the numbers of the wanted classes of a dataset, in its order.

        Args:
            dataset: Its classes.
            short: Those that have too few images, by number, with what they have.

        Raises:
            ConfigError: It has not so many, or none or several of a name.
            DataError: Not so many have enough images.
        """
        known = list(dataset.class_names)
        if self.classes > len(known):
            raise ConfigError(
                f"--classes is {self.classes}, {dataset.name} has {len(known)} classes",
                hint="--classes 0 takes all",
            )
        for name in self.named:
            if name not in known:
                raise ConfigError(
                    f"{dataset.name} has no class {name!r}", hint=did_you_mean(name, known)
                )
            if known.count(name) > 1:
                raise ConfigError(
                    f"{known.count(name)} classes of {dataset.name} are called {name!r}",
                    hint="take --classes, which counts them",
                )
        if len(set(self.named)) < len(self.named):
            twice = next(name for name in self.named if self.named.count(name) > 1)
            raise ConfigError(f"--class {twice} is given twice", hint="drop one of them")
        if self.named:
            return [number for number, name in enumerate(known) if name in self.named]
        if not self.classes:
            return list(range(len(known)))
        enough = [number for number in range(len(known)) if number not in short]
        if len(enough) < self.classes:
            first = min(short)
            raise DataError(
                f"{len(enough)} classes of {dataset.name} have enough images, wanted "
                f"{self.classes}: class {known[first]!r} has {short[first]}",
                hint="take fewer images of each class, or fewer classes",
            )
        return enough[: self.classes]
