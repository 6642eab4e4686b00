"""What a bank holds, told from the origins beside its files. No torch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superdef_bench.core.errors import DataError
from superdef_bench.run.bank.origin import Origin, read_origin
from superdef_bench.run.claim import BANK

_SUFFIX = ".safetensors"


def example_file(folder: Path, key: str) -> Path:
    """Return where a bank keeps the examples of a key."""
    return folder / key[:2] / f"{key}{_SUFFIX}"


@dataclass(frozen=True)
class Kept:
    """A file of examples.

    Attributes:
        path: Where it is.
        size: Its bytes.
        origin: What made it; None where nothing says so.
        damage: Why what says so cannot be used; empty where it can, or where there is none.
    """

    path: Path
    size: int
    origin: Origin | None
    damage: str = ""


@dataclass(frozen=True)
class Holding:
    """All examples of one attack on one source at one radius.

    Attributes:
        files: The files, in the order of their images; each has an origin.
    """

    files: Sequence[Kept]

    @property
    def origin(self) -> Origin:
        """That of its first file: what is not of images is the same for all."""
        origin = self.files[0].origin
        assert origin is not None
        return origin

    @property
    def images(self) -> int:
        """How many images it has; one that stands in two files counts once."""
        return len({name for file in self.files if file.origin for name in file.origin.ids})

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.size for file in self.files)

    def facts(self) -> dict[str, Any]:
        """Return what `bank ls --json` says of it."""
        names = ("attack", "arguments", "made_on", "rung", "norm", "eps", "seed", "dataset")
        told = {name: getattr(self.origin, name) for name in (*names, "made_by")}
        return {**told, "images": self.images, "files": len(self.files), "bytes": self.size}


@dataclass(frozen=True)
class Index:
    """What a bank holds.

    Attributes:
        holdings: What is known to have been made by an attack, by its name.
        unknown: Files of which nothing says what made them.
    """

    holdings: Sequence[Holding]
    unknown: Sequence[Kept]

    @property
    def files(self) -> list[Kept]:
        """All files."""
        return [*(file for held in self.holdings for file in held.files), *self.unknown]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def bank_of(run: Path) -> Path:
    """Return the bank of a run folder.

    Raises:
        DataError: The folder is none, or no run kept anything in it.
    """
    if not run.is_dir():
        raise DataError(
            f"{run} is no run folder", hint="superdef-bench run CONFIG -o DIR makes one"
        )
    if not (run / BANK).is_dir():
        raise DataError(
            f"run folder {run} has no bank",
            hint="attacks in gray box, transfer and surrogate keep their examples there",
        )
    return run / BANK


def read_index(run: Path) -> Index:
    """Return what the bank of a run folder holds; no example is read.

    Raises:
        DataError: There is no bank, it cannot be read, or is of another schema.
    """
    known: dict[tuple[str, int | None, str], list[Kept]] = {}
    unknown = []
    for file in _files(bank_of(run)):
        if file.origin is None:
            unknown.append(file)
        else:
            # Another dataset may run into the folder; what made the examples does not say it.
            of = (file.origin.made_by, file.origin.batch, file.origin.dataset_sha256)
            known.setdefault(of, []).append(file)
    holdings = [Holding(sorted(files, key=_place)) for files in known.values()]
    return Index(sorted(holdings, key=_order), unknown)


def _files(folder: Path) -> Iterator[Kept]:
    try:
        for path in sorted(folder.glob(f"*/*{_SUFFIX}")):
            size = path.stat().st_size
            try:
                yield Kept(path, size, read_origin(path))
            except ValueError as error:
                yield Kept(path, size, None, str(error))
    except OSError as error:
        raise DataError(f"bank {folder} cannot be read: {error.strerror}") from error


def _place(file: Kept) -> tuple[int, int]:
    assert file.origin is not None
    return file.origin.start, -len(file.origin.ids)


def _order(held: Holding) -> tuple[Any, ...]:
    origin = held.origin
    return origin.attack, not origin.bare, origin.source, origin.norm, origin.radius or 0.0
