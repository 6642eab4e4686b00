"""How fast our attacks reach their verdicts beside the reference implementation of AutoAttack.

`pytest tests/benchmarks -m slow --benchmark-only -k engine -s`, with CIFAR-10-JPEG in data/ as
docs/datasets.md lays it out. Both attack the same images in one process on frozen weights, the
reference at the batch size that suits it best; seconds are those of the processor, since other
work on the machine does not add to them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from superdef_bench import (
    AttackContext,
    InputTransform,
    Protected,
    Random,
    Threat,
    load_attack,
    load_dataset,
    load_defense,
    load_model,
)
from superdef_bench.engine import cross_entropy, look

_PHOTOGRAPHS = Path("data/cifar10-jpeg")
_BATCHES = (16, 32, 64, 128)


@dataclass(frozen=True)
class _Case:
    """A pipeline, its images, and how many times faster than the reference we are to be."""

    model: str
    defense: str
    n: int
    eps: float
    attack: str
    least: float
    robust: bool = False

    def protected(self) -> Protected:
        stages = []
        if self.defense:
            stage = load_defense(self.defense)
            assert isinstance(stage, InputTransform)
            stages.append(stage)
        return Protected(stages, load_model(self.model)).eval().requires_grad_(False)

    def images(self) -> tuple[Tensor, Tensor]:
        if self.model.startswith("signs"):
            return load_dataset("signs").load(range(self.n))
        if not _PHOTOGRAPHS.is_dir():
            pytest.skip(f"{_PHOTOGRAPHS} is not there; docs/datasets.md says how to lay it out")
        found = load_dataset("imagefolder", path=str(_PHOTOGRAPHS), split="test")
        return found.load(range(self.n))


_WEAK = "cifar10_jpeg_resnet20"
_ROBUST = "signs_resnet8_at"
_CASES = {
    "bicubic_x2": _Case(_WEAK, "bicubic_x2", 128, 8 / 255, "autoattack", 20),
    "superdef": _Case(_WEAK, "superdef", 128, 8 / 255, "autoattack", 20),
    "mustafa": _Case(_WEAK, "mustafa", 32, 8 / 255, "autoattack", 20),
    "undefended": _Case("autoattack_example", "", 32, 8 / 255, "autoattack", 30),
    "robust": _Case(_ROBUST, "", 128, 12 / 255, "autoattack", 1.2, robust=True),
    "apgd_pm": _Case(_ROBUST, "", 128, 12 / 255, "apgd_pm", 4, robust=True),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", _CASES)
def test_engine_beside_the_reference(name: str, benchmark: BenchmarkFixture) -> None:
    case = _CASES[name]
    model, (x, y) = case.protected(), case.images()
    threat, ids = Threat("linf", case.eps), torch.arange(case.n)

    def attack_by(attack: str, size: int, **arguments: str) -> Tensor:
        plugin, parts = load_attack(attack, **arguments), []
        for few in ids.split(size):
            context = AttackContext.start(few, Random(0, f"attack/{attack}", few))
            parts.append(plugin(model, x[few], y[few], threat, context))
        return torch.cat(parts)

    size = _best_batch(model, x, y)
    reference = _timed(lambda: attack_by("autoattack", size, engine="reference"))
    arguments = {"engine": "own"} if case.attack == "autoattack" else {}

    def run() -> _Timed:
        return _timed(lambda: attack_by(case.attack, case.n, **arguments))

    benchmark.group = "engine"
    ours = benchmark.pedantic(run, rounds=1)
    stand = [int((model(each.found).argmax(dim=1) == y).sum()) for each in (reference, ours)]
    factor = reference.seconds / ours.seconds
    benchmark.extra_info |= {"factor": round(factor, 2), "standing": stand[1]}
    print(
        f"\n{name}: {case.n} images, {stand[0]} stand against the reference, {stand[1]} against "
        f"ours; {reference.seconds:.1f} s in batches of {size}, {ours.seconds:.1f} s: {factor:.1f}x"
    )
    assert stand[1] <= stand[0] + 1
    # Where an image stands, every attack runs to its end, and the share of such images decides.
    assert factor >= (case.least if case.robust or not stand[1] else 1)


@dataclass(frozen=True)
class _Timed:
    found: Tensor
    seconds: float


def _timed(work: Callable[[], Tensor]) -> _Timed:
    start = time.process_time()
    found = work()
    return _Timed(found, time.process_time() - start)


def _best_batch(model: Protected, x: Tensor, y: Tensor) -> int:
    """Return the batch size of the least time per image and gradient."""

    def per_image(size: int) -> float:
        few = torch.arange(size)
        context = AttackContext.start(few, Random(0, "size", few))

        def step() -> Tensor:
            return look(model, x[few], y[few], context, cross_entropy, gradient=True).loss

        return min(_timed(step).seconds for _ in range(3)) / size

    return min((size for size in _BATCHES if size <= len(x)), key=per_image)
