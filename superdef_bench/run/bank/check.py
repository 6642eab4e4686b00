"""Whether kept examples are what was written, and lie in [0, 1] and in their ball."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from superdef_bench.benchmark.built import Benchmark
from superdef_bench.core.errors import ContractError, DataError
from superdef_bench.core.threats import Threat
from superdef_bench.io.files import file_size
from superdef_bench.run.attack import Examples
from superdef_bench.run.bank.index import Index, Kept
from superdef_bench.run.bank.origin import Origin
from superdef_bench.run.bank.store import Bank
from superdef_bench.run.cells import SHARD
from superdef_bench.run.shard import Shard

_MOST_BYTES = 2**33  # of a file of the bank: 64 images have far fewer
_ANYWHERE = Threat("linf", None)


class CleanImages:
    """The images that examples were made of, as a benchmark has them."""

    def __init__(self, benchmark: Benchmark) -> None:
        self._benchmark = benchmark
        self._shard: Shard | None = None  # the last one: files come in the order of images

    def shard(self, origin: Origin) -> Shard:
        """Return the shard that the images of an origin are the first of.

        Raises:
            DataError: The run has no images there.
        """
        if origin.start % SHARD or origin.start >= self._benchmark.limit:
            raise DataError(f"it has no images from {origin.start + 1:,} on")
        if self._shard is None or self._shard.start != origin.start:
            self._shard = Shard.load(self._benchmark, origin.start // SHARD)
        return self._shard

    def of(self, origin: Origin) -> Tensor:
        """Return the images of an origin, `(N, C, H, W)`.

        Raises:
            DataError: The dataset has others in their place.
        """
        known, count = self.shard(origin), len(origin.ids)
        pairs = {
            "ids": (list(known.names[:count]), origin.ids),
            "labels": (known.images.y[:count].tolist(), origin.labels),
            "pixels": (list(known.digests[:count]), origin.digests),
        }
        other = [what for what, (mine, told) in pairs.items() if mine != told]
        if other:
            raise DataError(f"its images from {origin.start + 1:,} on have other {other[0]}")
        return known.images.x[:count]


class _Refusing(Bank):
    """A bank that says why a file cannot be used."""

    def refuse(self, key: str, why: str) -> None:
        raise ValueError(why)


def read_kept(file: Kept) -> Mapping[str, Tensor]:
    """Return the tensors of a file of the bank.

    Raises:
        ValueError: It cannot be read, or is not what was written under its key.
    """
    try:
        file_size(file.path, most=_MOST_BYTES)
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from error
    found = _Refusing(file.path.parents[1]).get(file.path.stem)
    if found is None:
        raise ValueError("it cannot be read")
    return found


def checked(stored: Mapping[str, Tensor], origin: Origin | None, clean: Tensor | None) -> Examples:
    """Return tensors as examples.

    Args:
        stored: As a file has them.
        origin: What made them, where it is known.
        clean: The images that they were made of, where they are known.

    Raises:
        ValueError: They are no examples, are not of the origin's shape, or leave [0, 1] or the
            ball.
    """
    images = stored.get("images")
    if images is None or images.ndim != 4:
        raise ValueError("it holds no images (N, C, H, W)")
    if origin is not None and tuple(images.shape) != (len(origin.ids), *origin.shape):
        raise ValueError(
            f"its images are {tuple(images.shape)}, not {(len(origin.ids), *origin.shape)}"
        )
    try:
        if origin is None or clean is None:
            return Examples.unpack(stored, torch.zeros_like(images), _ANYWHERE)
        return Examples.unpack(stored, clean, origin.threat)
    except ContractError as error:
        raise ValueError(error.message) from error


@dataclass(frozen=True)
class Finding:
    """What was found of one file.

    Attributes:
        path: The file.
        damage: Why it cannot be used; empty where it can.
        in_ball: Whether its examples were seen to lie in their ball.
    """

    path: Path
    damage: str
    in_ball: bool


def verify(index: Index, clean: CleanImages | None) -> Iterator[Finding]:
    """Read every file of a bank and yield what is found of each.

    Args:
        index: What the bank holds.
        clean: The images of the run, where they are known; without them no ball is checked.
    """
    by_images = sorted(index.files, key=lambda file: file.origin.start if file.origin else -1)
    for file in by_images:
        images = _clean_of(file, clean)
        try:
            if file.damage:
                raise ValueError(file.damage)
            checked(read_kept(file), file.origin, images)
        except ValueError as error:
            yield Finding(file.path, " ".join(str(error).split()), in_ball=False)
        else:
            yield Finding(file.path, "", in_ball=images is not None)


def _clean_of(file: Kept, clean: CleanImages | None) -> Tensor | None:
    if clean is None or file.origin is None:
        return None
    try:
        return clean.of(file.origin)
    except DataError:  # of another dataset, or of more images than the run's last config has
        return None
