"""What the harness costs over a bare PyTorch loop that makes the same passes."""

import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from superdef_bench.benchmark.build import build
from superdef_bench.benchmark.built import Benchmark
from superdef_bench.benchmark.config import parse
from superdef_bench.core.loader import load_plugins
from superdef_bench.run.bank.store import Bank
from superdef_bench.run.cells import Group, Plan
from superdef_bench.run.plan import make_plan
from superdef_bench.run.runner import compute
from superdef_bench.run.shard import Shard
from superdef_bench.run.worker import Row, Worker

pytestmark = pytest.mark.slow

STEPS, PAIRS = 20, 15
MOST = 0.06  # of a whole run, on a network of a millisecond per image


def benchmark(root: Path, model: str, limit: int = 64) -> Benchmark:
    """Build PGD on images of signs, or of noise for the CIFAR-10 network."""
    dataset: object = "signs"
    if model == "autoattack_example":
        noise = np.random.default_rng(0).integers(0, 256, (70, 32, 32, 3), dtype=np.uint8)
        for number, pixels in enumerate(noise):
            folder = root / "noise" / str(number % 10)
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{number}.png")
        dataset = {"plugin": "imagefolder", "path": str(root / "noise")}
    document = {
        "run": {"dataset": dataset, "model": model, "limit": limit, "rungs": ["gray_box"]},
        "threat": {"eps": "8/255"},
        "attacks": {"pgd": {"steps": STEPS}},
    }
    return build(parse(document, "overhead"), load_plugins(), torch.device("cpu"))


@contextmanager
def counted(classifier: nn.Module) -> Iterator[list[int]]:
    """Count images that go forward and back through the classifier."""
    counts = [0, 0]

    def forward(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if module is not classifier:
            return
        counts[0] += len(inputs[0])
        if inputs[0].requires_grad:
            inputs[0].register_hook(lambda g: counts.__setitem__(1, counts[1] + len(g)))

    # Of all modules: one of the classifier is what the harness takes for a change.
    handle = nn.modules.module.register_module_forward_pre_hook(forward)
    yield counts
    handle.remove()


def bare_loop(classifier: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Run PGD as one would write it by hand, with the looks that keeping the best iterate needs."""
    eps, step = 8 / 255, 2.5 / STEPS * 8 / 255
    z = (x + eps * (2 * torch.rand_like(x) - 1)).clamp(0, 1)
    best, best_loss = x.clone(), torch.full((len(x),), -torch.inf)
    for number in range(STEPS + 1):
        z = z.detach().requires_grad_(number < STEPS)
        with torch.set_grad_enabled(number < STEPS):
            loss = nn.functional.cross_entropy(classifier(z), y, reduction="none")
        better = loss.detach() > best_loss
        best = torch.where(better[:, None, None, None], z.detach(), best)
        best_loss = torch.maximum(best_loss, loss.detach())
        if number < STEPS:
            slope = torch.autograd.grad(loss.sum(), z)[0].sign()
            z = (x + (z.detach() + step * slope - x).clamp(-eps, eps)).clamp(0, 1)
    with torch.no_grad():
        return classifier(best).argmax(dim=1)


@pytest.mark.parametrize(
    "model", ["signs_resnet8", pytest.param("autoattack_example", marks=pytest.mark.slow)]
)
def test_the_harness_makes_the_passes_of_a_bare_loop(
    tmp_path: Path, record_property: Callable[[str, object], None], model: str
) -> None:
    built = benchmark(tmp_path, model)
    plan = make_plan(built)
    shard = Shard.load(built, 0)
    classifier = built.bare.classifier
    clean_group, group = attacked(plan)

    def harness() -> None:
        shutil.rmtree(tmp_path / "bank", ignore_errors=True)
        worker = Worker(built, Bank(tmp_path / "bank"))
        shard.examples.clear()
        list(worker.run(group, [shard], [clean], lambda cell, shard: None))

    def rows(which: Group) -> list[Row]:
        worker = Worker(built, Bank(tmp_path / "clean"))
        return [
            row
            for _, _, part, _ in worker.run(which, [shard], [[]], lambda cell, shard: None)
            for row in part
        ]

    clean = rows(clean_group)
    with counted(classifier) as ours:
        harness()
    with counted(classifier) as bare:
        bare_loop(classifier, shard.images.x, shard.images.y)
    assert ours == bare == [64 * (STEPS + 2), 64 * STEPS]
    overhead = over(harness, lambda: bare_loop(classifier, shard.images.x, shard.images.y))
    record_property("overhead", f"{overhead:.1%}")
    print(f"{model}: harness over bare loop, {PAIRS} interleaved pairs: median {overhead:+.1%}")
    assert overhead < 0.5


def test_a_whole_run_costs_little_more_than_a_bare_loop(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    torch.set_num_threads(1)
    built = benchmark(tmp_path, "signs_resnet8", 128)
    plan = make_plan(built)
    plan = replace(plan, groups=attacked(plan))
    classifier, folders = built.bare.classifier, (tmp_path / str(n) for n in count())

    def run() -> None:
        outcome = compute(built, plan, next(folders))
        assert outcome.computed == 2 * 128

    def bare() -> None:
        for start in (0, 64):
            x, y = built.dataset.load(range(start, start + 64))
            with torch.no_grad():
                classifier(x)
            bare_loop(classifier, x, y)

    overhead = over(run, bare)
    record_property("overhead", f"{overhead:.1%}")
    print(f"a run over a bare loop, {PAIRS} interleaved pairs: median {overhead:+.1%}")
    assert overhead < MOST


def attacked(plan: Plan) -> tuple[Group, ...]:
    """Return the groups of clean and attacked images, without the probes of gradients."""
    return tuple(group for group in plan.groups if group.rung or group.clean)


def over(harness: Callable[[], object], bare: Callable[[], object]) -> float:
    """Return what the harness takes longer, in parts of the bare loop: the median of pairs."""
    works, ratios = (harness, bare), []
    for number in range(PAIRS):
        seconds = [0.0, 0.0]
        for which in (0, 1) if number % 2 else (1, 0):  # neither always comes second
            start = time.perf_counter()
            works[which]()
            seconds[which] = time.perf_counter() - start
        ratios.append(seconds[0] / seconds[1])
    return statistics.median(ratios) - 1


def test_no_weight_ever_asks_for_a_gradient(tmp_path: Path) -> None:
    built = benchmark(tmp_path, "signs_resnet8")
    modules = [built.bare, *(defense.protected for defense in built.defenses)]
    assert not any(p.requires_grad for module in modules for p in module.parameters())
