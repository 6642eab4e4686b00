"""Auto-PGD: in closed form, against the reference step by step, and apart from its batch."""

import pytest
import torch
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from torch import Tensor, nn

from superdef_bench.core.loader import load_defense, load_model
from superdef_bench.core.rng import Random
from superdef_bench.core.threats import Goal, Norm, Threat
from superdef_bench.core.transform import InputTransform, Protected
from superdef_bench.core.types import AttackContext, distance
from superdef_bench.engine import Loss, auto_pgd, cross_entropy, dlr, look, margin
from superdef_bench.engine.apgd import _checkpoints, climb, random_surface
from superdef_bench.engine.search import Batch, Search
from superdef_bench.engine.targets import Aims, best_of, likely_classes
from superdef_bench.io.machine import fix_numerics
from superdef_bench.testing import toy_images, toy_model


def context_of(ids: Tensor, goal: Goal = "verdict") -> AttackContext:
    return AttackContext.start(ids, Random(0, "test", ids), goal=goal)


def test_the_length_is_looked_at_where_the_paper_says() -> None:
    ends = [end for end, _ in _checkpoints(100)]
    assert ends == [21, 40, 56, 69, 79, 86, 92, 98]
    assert [window for _, window in _checkpoints(100)] == [22, 19, 16, 13, 10, 7, 6, 6]


class Linear(nn.Module):
    """Two logits, of which the difference is linear in the image."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        value = (x * self.weight).flatten(1).sum(dim=1)
        return torch.stack([torch.zeros_like(value), value], dim=1)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_on_a_linear_classifier_it_reaches_the_best_point(norm: Norm) -> None:
    weight = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(0))
    x, ids = torch.full((4, 3, 8, 8), 0.5), torch.arange(4)
    y, eps = torch.zeros(4, dtype=torch.int64), 0.1
    threat = Threat(norm, eps)
    found = auto_pgd(
        Linear(weight), x, y, threat, context_of(ids, "strength"), loss=margin, steps=40
    )
    dual = weight.abs().sum() if norm == "linf" else weight.norm()
    gained = ((found - x) * weight).flatten(1).sum(dim=1)
    assert torch.allclose(gained, eps * dual.expand(4), rtol=1e-3)


class Valley(nn.Module):
    """Highest at one point inside the ball, which steps of 2 eps jump across."""

    def forward(self, x: Tensor) -> Tensor:
        value = -((x - 0.513) ** 2).flatten(1).sum(dim=1)
        return torch.stack([torch.zeros_like(value), value], dim=1)


def test_steps_get_shorter_where_long_ones_do_not_help() -> None:
    x, ids = torch.full((2, 3, 8, 8), 0.5), torch.arange(2)
    y = torch.zeros(2, dtype=torch.int64)
    threat = Threat("linf", 0.05)
    few, many = (
        auto_pgd(Valley(), x, y, threat, context_of(ids, "strength"), loss=margin, steps=steps)
        for steps in (10, 100)
    )
    assert float((many - 0.513).abs().max()) < 0.05 * 2**-3
    assert float((many - 0.513).abs().mean()) < float((few - 0.513).abs().mean())


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("targeted", [False, True])
def test_from_the_same_start_it_goes_the_way_of_the_reference(norm: Norm, targeted: bool) -> None:
    x, ids = toy_images(6)
    model, threat = toy_model(), Threat(norm, 0.01 if norm == "linf" else 0.2)
    y = model(x).argmax(dim=1)
    context = context_of(ids, "strength")
    batch = Batch(x, y, context, None)
    labels = likely_classes(model, batch, 1) if targeted else None
    aims = Aims(batch, labels)
    start = random_surface(aims, threat, context.random)
    search = Search(x, y, context)
    loss: Loss = dlr if targeted else cross_entropy
    climb(model, search, aims, start, threat, loss, 50)
    kind = APGDAttack_targeted if targeted else APGDAttack
    words = {"linf": "Linf", "l2": "L2"}
    reference = kind(model, n_iter=50, norm=words[norm], eps=threat.eps, device=x.device)
    reference.init_hyperparam(x)
    reference.y_target = None if labels is None else labels[:, 0]
    _, _, height, _ = reference.attack_single_run(x, y, x_init=start[:, 0])
    ours = loss(model(search.best)[None], y, reference.y_target)[0]
    fooled = model(search.best).argmax(dim=1) != y
    # Ours keeps the best that fools, the reference the best: the same where either fools, but
    # for the first look at the step length: it counts the first step as a rise from 0.
    assert torch.allclose(ours[fooled], height[fooled], rtol=1e-3, atol=1e-3)
    assert int(fooled.sum()) >= 3


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("targets", [0, 9])
def test_no_verdict_depends_on_other_images(norm: Norm, targets: int) -> None:
    x, ids = toy_images(9)
    model, threat = toy_model(), Threat(norm, 0.004 if norm == "linf" else 0.1)
    y = model(x).argmax(dim=1)
    loss: Loss = dlr if targets else cross_entropy

    def attack(index: Tensor) -> Tensor:
        return auto_pgd(
            model,
            x[index],
            y[index],
            threat,
            context_of(ids[index]),
            loss=loss,
            steps=20,
            targets=targets,
        )

    whole = torch.arange(9)
    found = attack(whole)
    assert float(distance(x, found, norm).max()) <= threat.limit
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    fooled = model(found).argmax(dim=1) != y
    assert 0 < int(fooled.sum()) < 9
    order = torch.tensor([4, 8, 1, 0, 7, 2, 6, 5, 3])
    for index in (order, *order.split(2)):
        again = attack(index)
        assert torch.equal(model(again).argmax(dim=1) != y[index], fooled[index])
        # Kernels round by the size of the batch, and steps of L2 carry that on.
        assert torch.allclose(again, found[index], atol=1e-5 if norm == "linf" else 5e-3)


def test_a_fooled_image_leaves_and_a_strong_example_takes_every_step() -> None:
    class Counted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.rows = toy_model(), 0

        def forward(self, x: Tensor) -> Tensor:
            self.rows += len(x)
            logits: Tensor = self.inner(x)
            return logits

    x, ids = toy_images(6)
    y = toy_model()(x).argmax(dim=1)
    rows = {}
    for goal in ("verdict", "strength"):
        model = Counted()
        auto_pgd(
            model, x, y, Threat("linf", 0.1), context_of(ids, goal), loss=cross_entropy, steps=30
        )
        rows[goal] = model.rows
    assert rows["strength"] == 6 * 31
    assert rows["verdict"] < 6 * 5


def test_passes_have_few_sizes_whatever_stands_beside_an_image() -> None:
    sizes: list[int] = []

    class Watched(nn.Module):
        stochastic = False

        def __init__(self) -> None:
            super().__init__()
            self.inner = toy_model()

        def forward(self, x: Tensor) -> Tensor:
            sizes.append(len(x))
            logits: Tensor = self.inner(x)
            return logits

    x, ids = toy_images(5)
    model, threat = Watched(), Threat("linf", 0.001)
    y = model(x).argmax(dim=1)
    sizes.clear()
    auto_pgd(model, x, y, threat, context_of(ids), loss=cross_entropy, steps=3)
    auto_pgd(model, x, y, threat, context_of(ids), loss=dlr, steps=3, targets=9)
    # Which classes are likely is asked of the five; 45 rows are two passes.
    assert sizes == [8] * 4 + [5] + [32, 16] * 4


@pytest.mark.parametrize("stage", ["", "bicubic_x2", "superdef"])
@pytest.mark.parametrize("name", ["signs_resnet8_at", "cifar10_jpeg_resnet20"])
def test_kernels_give_an_image_the_same_bits_at_each_of_these_sizes(name: str, stage: str) -> None:
    fix_numerics()
    found = [load_defense(each) for each in [stage] if each]
    stages = [each for each in found if isinstance(each, InputTransform)]
    model = Protected(stages, load_model(name)).eval()
    x, ids = torch.rand(32, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(32)
    y = torch.zeros(32, dtype=torch.int64)
    seen = {
        size: look(model, x[:size], y[:size], context_of(ids[:size]), cross_entropy, gradient=True)
        for size in (8, 16, 32)
    }
    for size in (8, 16):
        assert torch.equal(seen[size].loss, seen[32].loss[:size])
        few, many = seen[size].gradient, seen[32].gradient
        assert few is not None
        assert many is not None
        assert torch.equal(few, many[:size])


def test_steps_are_counted_over_restarts_and_a_run_that_is_no_number_hides_no_other() -> None:
    x, ids = toy_images(4)
    model = toy_model()
    y = model(x).argmax(dim=1)
    context = context_of(ids, "strength")
    auto_pgd(model, x, y, Threat("linf", 0.0035), context, loss=cross_entropy, steps=4, restarts=3)
    assert int(context.first_step.max()) <= 12
    runs = torch.zeros(1, 2, 3, 2, 2)
    runs[:, 1] = 1
    loss, fooled = torch.tensor([[torch.nan, -3.0]]), torch.zeros(1, 2, dtype=torch.bool)
    kept, seen = best_of(runs, loss, fooled)
    assert float(kept.mean()) == 1
    assert float(seen.loss) == -3
