"""What the machine can do at most, measured, and how near to it a pass comes (roofline)."""

import itertools
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from superdef_bench.measure.work import Work

Bound = Literal["launch", "memory", "compute"]

# Small ones end before a busy processor is taken away, large ones fill a GPU.
_SIDES = {"cpu": (256, 1024), "cuda": (1024, 8192)}  # of the matrices that are multiplied
_IMAGES = {"cpu": (1, 4), "cuda": (4, 256)}  # that are convolved
_FEATURES, _PIXELS = 64, 32
_COPIES = (2**20, 2**24, 2**27)  # bytes: a cache of a core, the last cache, memory
_SECONDS, _TRIES = 0.08, 4  # per ceiling at least
_BEATEN = 1.1  # share of the ceilings that no pass reaches unless they were measured too low
# GB/s, read and written, that memory moves at least: half of one channel of DDR3, of any GPU.
_LEAST = {"cpu": 4.0, "cuda": 50.0}
_STARTS = 200  # operations on next to nothing, one after another


@dataclass(frozen=True)
class Roofline:
    """How a pass uses the machine, after Williams et al. (CACM 2009).

    Attributes:
        gflops: Giga operations per second; an addition and a multiplication are two.
        intensity: Operations per byte that has to be moved at least.
        share: Of the least time that the ceilings allow, over the time it took.
        bound: What holds it back: starting operations, moving bytes, or computing.
    """

    gflops: float
    intensity: float
    share: float
    bound: Bound


@dataclass(frozen=True)
class Ceilings:
    """What the machine was seen to do at best.

    Attributes:
        gflops: Giga operations per second of a matrix product or a convolution, by dtype.
        gigabytes: Gigabytes per second, read and written, by the bytes of what is copied.
        overhead: Microseconds to start an operation that computes next to nothing.
    """

    gflops: Mapping[str, float]
    gigabytes: Mapping[int, float]
    overhead: float

    def bandwidth(self, memory: int) -> float:
        """Return the gigabytes per second of a pass that keeps `memory` bytes alive."""
        fitting = [size for size in self.gigabytes if size <= memory]
        return self.gigabytes[max(fitting, default=min(self.gigabytes))]

    def judge(self, work: Work, seconds: float, *, dtype: str, fuses: bool) -> Roofline:
        """Compare a pass with the ceilings.

        Args:
            work: What it takes.
            seconds: How long it took.
            dtype: What it computed in; `bfloat16` moves half of the bytes.
            fuses: Whether fewer operations were started than `work` counts.
        """
        flops, moved = 2e9 * work.gmac, work.fused / (2 if dtype == "bfloat16" else 1)
        computing = flops / (1e9 * self.gflops[dtype])
        moving = moved / (1e9 * self.bandwidth(work.memory))
        starting = 0.0 if fuses else 1e-6 * self.overhead * work.ops
        bound: Bound = "compute" if computing >= moving else "memory"
        return Roofline(
            gflops=flops / seconds / 1e9,
            intensity=flops / max(moved, 1),
            share=max(computing, moving) / seconds,
            bound="launch" if starting > seconds / 2 else bound,
        )


def signs_of_a_busy_machine(
    ceilings: Ceilings, shares: Iterable[float], device: torch.device
) -> list[str]:
    """Return what tells that other work ran beside the measurement, a sentence each.

    Args:
        ceilings: As they were measured.
        shares: Of each pass, see `Roofline`.
        device: Where they were measured.
    """
    found = []
    most = max(shares, default=0.0)
    if most > _BEATEN:
        found.append(
            f"a pass reached {100 * most:.0f} % of what the machine was seen to do at best"
        )
    size = max(ceilings.gigabytes)
    copied, least = ceilings.gigabytes[size], _LEAST.get(device.type, 0.0)
    if copied < least:
        found.append(
            f"copies of {size // 2**20} MiB went at {copied:.1f} GB/s, far below the memory's speed"
        )
    return [f"The machine was busy: {why}. Measure again when it is idle." for why in found]


@torch.no_grad()
def measure_ceilings(device: torch.device, dtypes: Iterable[str]) -> Ceilings:
    """Measure the ceilings: the best of as many tries as a moment allows."""
    return Ceilings(
        gflops={name: _gflops(device, getattr(torch, name)) for name in dict.fromkeys(dtypes)},
        gigabytes={size: _gigabytes(device, size) for size in _COPIES},
        overhead=_overhead(device),
    )


def _gflops(device: torch.device, dtype: torch.dtype) -> float:
    found = []
    for side in _SIDES.get(device.type, _SIDES["cpu"]):
        matrix = torch.rand(side, side, device=device).to(dtype)
        found.append(side**3 / _best(device, partial(torch.matmul, matrix, matrix)))
    kernels = torch.rand(_FEATURES, _FEATURES, 3, 3, device=device).to(dtype)
    for images in _IMAGES.get(device.type, _IMAGES["cpu"]):
        maps = torch.rand(images, _FEATURES, _PIXELS, _PIXELS, device=device).to(dtype)
        maps = maps.to(memory_format=torch.channels_last)
        convolve = partial(functional.conv2d, maps, kernels, padding=1)
        found.append(maps.numel() * _FEATURES * 9 / _best(device, convolve))
    return 2e-9 * max(found)


def _gigabytes(device: torch.device, size: int) -> float:
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2e-9 * size / _best(device, lambda: target.copy_(source))


def _overhead(device: torch.device) -> float:
    tiny = torch.zeros(1, device=device)

    def start() -> Tensor:
        out = tiny
        for _ in range(_STARTS):
            out = out.relu()
        return out

    return 1e6 * _best(device, start) / _STARTS


def _best(device: torch.device, work: Callable[[], Tensor]) -> float:
    """Return the seconds of the fastest try."""
    best, end = float("inf"), time.perf_counter() + _SECONDS
    for tried in itertools.count():
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        if tried:  # the first one takes memory from the system
            best = min(best, time.perf_counter() - start)
        if tried >= _TRIES and time.perf_counter() > end:
            break
    return best
