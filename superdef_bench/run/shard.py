"""Images in the dataset's order, 64 at most, with what names them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from superdef_bench.benchmark.built import Benchmark, BuiltAttack
from superdef_bench.core.calls import calling
from superdef_bench.core.checks import check_range, plain_tensor
from superdef_bench.core.errors import ContractError
from superdef_bench.core.fingerprint import fingerprint
from superdef_bench.core.rng import image_id
from superdef_bench.run.attack import Examples
from superdef_bench.run.cells import SHARD, Cell, Group
from superdef_bench.run.images import Images, choose_targets


@dataclass
class Shard:
    """A run of images in the dataset's order.

    Attributes:
        images: The images, with their targets.
        names: Image ids as strings.
        digests: Hash of each image and its label.
    """

    start: int
    images: Images
    names: Sequence[str]
    digests: Sequence[str]
    examples: dict[str, Examples] = field(default_factory=dict)

    @classmethod
    def load(cls, benchmark: Benchmark, number: int) -> "Shard":
        """Load shard `number` onto the benchmark's device.

        Raises:
            ContractError: The dataset raised, or its images are not what it promises.
        """
        dataset, device = benchmark.dataset, benchmark.device
        start = number * SHARD
        places = range(start, min(start + SHARD, benchmark.limit))
        owner = f"dataset {dataset.name!r}"
        with calling(owner, ContractError):
            x, y = dataset.load(places)
            x, y = plain_tensor(owner, x), plain_tensor(owner, y)
        wanted = (len(places), *benchmark.task.input_shape)
        if tuple(x.shape) != wanted or x.dtype != torch.float32:
            raise ContractError(
                f"dataset {dataset.name!r} returned {x.dtype} {tuple(x.shape)}, "
                f"the contract is float32 {wanted}"
            )
        _check_images(owner, x, y, benchmark.task.num_classes)
        names = [dataset.ids[place] for place in places]
        digests = [
            hashlib.sha256(image.numpy().tobytes() + bytes(str(int(label)), "ascii")).hexdigest()
            for image, label in zip(x, y, strict=True)
        ]
        ids = torch.tensor([image_id(name) for name in names], device=device)
        images = Images(x.to(device), y.to(device), ids)
        return cls(start, choose_targets(benchmark, images), names, digests)

    def keys(self, cell: Cell, count: int, group: Group, batch_size: int) -> list[str]:
        """Return the keys of a cell's records for the first `count` images."""
        batch = ""
        if group.attack is not None and looks_around(group.attack):
            # Its numbers belong to this batch.
            together = self.attacked(group) if cell.goal == "strength" else count
            batch = fingerprint(list(self.names[:together]), batch_size)
        images = zip(self.names[:count], self.digests[:count], strict=True)
        return [fingerprint(cell.key, name, digest, batch) for name, digest in images]

    def attacked(self, group: Group) -> int:
        """Return how many images of the shard get examples that are replayed."""
        return self.count(group.made)

    def count(self, n: int) -> int:
        """Return how many of the first `n` images of the dataset are in the shard."""
        return max(0, min(len(self.images), n - self.start))

    def span(self, n: int, last: "Shard") -> str:
        """Return in words which of the first `n` images are in this shard and those to `last`."""
        end = min(last.start + last.count(n), n)
        return f"images {min(self.start + 1, end):,} to {end:,} of {n:,}"


def looks_around(attack: BuiltAttack) -> bool:
    """Return whether the example of an image may depend on the batch that it is made in."""
    return attack.batch_dependent is not False


def _check_images(owner: str, x: Tensor, y: Tensor, num_classes: int) -> None:
    if not bool(torch.isfinite(x).all()):
        raise ContractError(f"{owner} returned NaN or infinite pixels")
    check_range(owner, "pixels", x)
    if tuple(y.shape) != (len(x),) or y.dtype != torch.int64:
        raise ContractError(
            f"{owner} returned labels {y.dtype} {tuple(y.shape)}, the contract is int64 {(len(x),)}"
        )
    if int(y.min()) < 0 or int(y.max()) >= num_classes:
        raise ContractError(
            f"{owner} returned labels {int(y.min())} to {int(y.max())}, "
            f"the contract is 0 to {num_classes - 1}"
        )
