"""What networks cost side by side: multiply-accumulates, and time on this machine."""

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from superdef_bench.cost import gmac, parameters
from superdef_bench.errors import DataError
from superdef_bench.process import fix_numerics, out_of_memory
from superdef_bench.progress import progress_bar
from superdef_bench.rng import Random
from superdef_bench.transform import InputTransform, Protected


@dataclass(frozen=True)
class Cost:
    """What one network costs on one image.

    Attributes:
        network: Name of the row.
        size: Height and width of the image.
        params: Parameters.
        gmac: Giga multiply-accumulates of convolutions and matrix products; None where they
            cannot be counted.
        milliseconds: Time of a forward pass: 10th, 50th and 90th percentile.
        ratio: How many times as long as the first network, median over the rounds.
    """

    network: str
    size: int
    params: int
    gmac: float | None
    milliseconds: tuple[float, float, float]
    ratio: float


@torch.no_grad()
def costs(
    networks: Mapping[str, InputTransform],
    sizes: Sequence[int],
    *,
    rounds: int,
    device: torch.device,
) -> Iterator[Cost]:
    """Yield the cost of each network at each size, for one random image at a time.

    The networks take turns, so that what else the machine does meets all of them alike; a first
    round is not counted.

    Args:
        networks: By the name of their rows; the first is what the others are compared with.
        sizes: Sides of the image.
        rounds: Passes of each.
        device: Where to compute.

    Raises:
        DataError: Memory ran out.
    """
    fix_numerics()
    names = list(networks)
    with progress_bar(len(sizes) * (rounds + 1) * len(networks)) as bar:
        for size in sizes:
            taken: dict[str, list[float]] = {name: [] for name in networks}
            image = _image(size).to(device)
            for number in range(rounds + 1):
                # Each network begins a round in turn: none always follows the same one.
                first = number % len(networks)
                for name in [*names[first:], *names[:first]]:
                    bar.show(f"{size}x{size}, {name}", f"round {number} of {rounds}")
                    seconds = _time(name, networks[name], image)
                    taken[name] += [1000 * seconds] if number else []
                    bar.advance(1)
            reference = np.array(taken[names[0]])
            for name, network in networks.items():
                times = np.array(taken[name])
                low, middle, high = np.percentile(times, [10, 50, 90])
                yield Cost(
                    network=name,
                    size=size,
                    params=parameters(network),
                    gmac=_gmac(network, size),
                    milliseconds=(float(low), float(middle), float(high)),
                    ratio=float(np.median(times / reference)),
                )


def _image(size: int) -> torch.Tensor:
    try:
        return torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    except (MemoryError, RuntimeError) as error:
        raise DataError(
            f"memory ran out: an image of {size}x{size} pixels", hint="take a smaller --size"
        ) from error


def _time(name: str, network: InputTransform, image: torch.Tensor) -> float:
    ids = torch.zeros(1, dtype=torch.int64, device=image.device)
    random = Random(0, "cost", ids) if network.stochastic else None
    if image.is_cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    try:
        network(image, random)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        size = f"{image.shape[-1]}x{image.shape[-2]}"
        raise DataError(
            f"memory ran out: {name} on {size} pixels", hint="take a smaller --size"
        ) from error
    if image.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _gmac(network: InputTransform, size: int) -> float | None:
    """Return what a pass counts, on tensors without values where that is possible."""
    image = torch.zeros(1, 3, size, size, device="meta")
    try:
        bare = Protected([copy.deepcopy(network).to("meta")], nn.Identity())
        return gmac(bare, image, stages_only=True)
    except (NotImplementedError, RuntimeError):
        return None
