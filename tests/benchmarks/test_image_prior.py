"""Many fits of Deep Image Prior at once: `pytest tests/benchmarks -m slow -s -k image_prior`."""

import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
import torch
from torch.nn import functional

from superdef_bench.core.rng import Random
from superdef_bench.nn.skip import SMALL
from superdef_bench.prior import PriorFit
from superdef_bench.prior.restore import AT_ONCE
from tests.support.hourglass import Hourglass

_STEPS, _ALONE = 40, 2  # steps of a fit; images of a turn where each is fitted by itself
_ROUNDS = 3
_SIDE = 32
_WANTED = 4  # over one by one; two cores gave 3.1, bound by backward passes of convolutions


def one_by_one(seed: int) -> float:
    """Fit networks of plain layers to images, one after the other; return seconds of an image."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(_ALONE, 3, _SIDE, _SIDE, generator=generator)
    start = time.perf_counter()
    for image in images:
        network, z = Hourglass(SMALL), 0.1 * torch.rand(1, 3, _SIDE, _SIDE)
        adam = torch.optim.Adam(network.parameters(), lr=0.01, fused=True)
        for _ in range(_STEPS):
            adam.zero_grad()
            drawn = network(z + torch.randn_like(z) / 30)
            functional.mse_loss(drawn[0], image).backward()
            adam.step()
    return (time.perf_counter() - start) / _ALONE


def at_once() -> float:
    """Fit our networks to a batch; return seconds of an image."""
    images = torch.rand(AT_ONCE, 3, _SIDE, _SIDE, generator=torch.Generator().manual_seed(0))
    start = time.perf_counter()
    fit = PriorFit(images, Random(0, "benchmark", torch.arange(AT_ONCE)), shape=SMALL)
    for _ in range(_STEPS):
        fit.step()
    return (time.perf_counter() - start) / AT_ONCE


def _single_thread() -> None:
    torch.set_num_threads(1)
    one_by_one(0)


@pytest.mark.slow
def test_image_prior_fits_many_at_once() -> None:
    torch.set_num_threads(2)
    one_by_one(0)
    at_once()
    took: dict[str, list[float]] = {"alone": [], "two processes": [], "at once": []}
    context = get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context, initializer=_single_thread) as pool:
        list(pool.map(one_by_one, range(4)))
        for turn in range(_ROUNDS):
            took["alone"].append(one_by_one(turn))
            took["at once"].append(at_once())
            both = list(pool.map(one_by_one, range(2)))
            took["two processes"].append(max(both) / 2)
    least = {name: min(seconds) for name, seconds in took.items()}
    for name, seconds in least.items():
        print(f"{name}: {60 / (seconds / _STEPS * 1000):.1f} images a minute at 1,000 steps")
    print(f"at once: {least['alone'] / least['at once']:.2f}x one by one", end=", ")
    print(f"{least['two processes'] / least['at once']:.2f}x two processes")
    assert least["two processes"] >= 1.3 * least["at once"]
    if least["alone"] < _WANTED * least["at once"]:
        pytest.xfail(f"one by one takes less than {_WANTED} times as long")


def peak(rows: int, side: int) -> float:
    """Fit so many networks for three steps; return the most MB that this process has held."""
    images = torch.rand(rows, 3, side, side, generator=torch.Generator().manual_seed(0))
    fit = PriorFit(images, Random(0, "benchmark", torch.arange(rows)))
    for _ in range(3):
        fit.step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="others count the peak in other units")
@pytest.mark.parametrize(("side", "most"), [(32, 10), (160, 80), (224, 135)])
def test_image_prior_takes_so_much_memory_for_a_row(side: int, most: float) -> None:
    context = get_context("spawn")
    held = []
    for rows in (4, 12):
        with ProcessPoolExecutor(1, mp_context=context) as pool:  # a peak is that of a process
            held.append(pool.submit(peak, rows, side).result())
    each = (held[1] - held[0]) / 8
    print(f"{side}x{side}: {each:.0f} MB for each network fitted at once")
    assert each <= most
