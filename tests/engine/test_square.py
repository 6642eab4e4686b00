"""Square Attack: as strong as the reference, by scores alone, image by image."""

from typing import Any

import pytest
import torch
from pyautoattack.square import SquareAttack
from torch import Tensor, nn

from superdef_bench import AttackContext, ConfigError, Random, Threat, load_attack
from superdef_bench.core.threats import Goal, Norm
from superdef_bench.core.types import distance
from superdef_bench.engine import random_start
from superdef_bench.engine.square import _side
from superdef_bench.testing import toy_images, toy_model

QUERIES = 120
RADII: dict[Norm, float] = {"linf": 0.03, "l2": 1.0}


def run(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    norm: Norm,
    eps: float,
    goal: Goal = "verdict",
    queries: int = QUERIES,
    **settings: object,
) -> Tensor:
    ids = torch.arange(len(x))
    context = AttackContext.start(ids, Random(0, "test", ids), goal=goal, **settings)
    return load_attack("square", queries=queries)(model, x, y, Threat(norm, eps), context)


def right(model: nn.Module, x: Tensor, y: Tensor) -> int:
    return int((model(x).argmax(dim=1) == y).sum())


def margin(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    logits = model(x)
    others = logits.scatter(1, y[:, None], -torch.inf).amax(dim=1)
    return logits.gather(1, y[:, None])[:, 0] - others


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_it_is_as_strong_as_the_reference_and_beats_noise(norm: Norm) -> None:
    x, ids = toy_images(40)
    model, eps = toy_model(), RADII[norm]
    y = model(x).argmax(dim=1)
    found = run(model, x, y, norm, eps)
    reference = SquareAttack(
        model,
        norm={"linf": "Linf", "l2": "L2"}[norm],
        n_queries=QUERIES - 1,  # beside its start
        eps=eps,
        device="cpu",
    ).perturb(x, y)
    left, expected = right(model, found, y), right(model, reference, y)
    assert 0 < expected < 36
    assert abs(left - expected) <= 5
    noise = random_start(x, Threat(norm, eps), Random(1, "noise", ids))
    if norm == "linf":
        noise = (x + eps * (noise - x).sign()).clamp(0, 1)
    assert left + 8 <= right(model, noise, y)
    assert float(distance(x, found, norm).max()) <= Threat(norm, eps).limit


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_an_image_has_the_same_example_alone_and_in_a_batch(norm: Norm) -> None:
    x, ids = toy_images(3)
    model = toy_model()
    y = model(x).argmax(dim=1)
    method, threat = load_attack("square", queries=70), Threat(norm, RADII[norm])

    def attack(rows: slice, goal: Goal) -> Tensor:
        context = AttackContext.start(ids[rows], Random(0, "test", ids[rows]), goal=goal)
        return method(model, x[rows], y[rows], threat, context)

    goals: tuple[Goal, ...] = ("verdict", "strength")
    for goal in goals:
        alone = torch.cat([attack(slice(i, i + 1), goal) for i in range(3)])
        torch.testing.assert_close(attack(slice(None), goal), alone, rtol=0, atol=1e-5)


class NoGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        raise AssertionError("somebody went back")


class Watched(nn.Module):
    """A classifier that stops whoever asks for a gradient, and counts images."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.seen = toy_model(), 0

    def forward(self, x: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        assert not x.requires_grad
        self.seen += len(x)
        logits: Tensor = self.inner(NoGradient.apply(x))  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return logits


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_square_never_sees_a_gradient_and_counts_its_queries(norm: Norm) -> None:
    x, _ = toy_images(4)
    y = toy_model()(x).argmax(dim=1)
    model = Watched()
    run(model, x.clone().requires_grad_(), y, norm, RADII[norm], "strength", 40)
    assert model.seen == 4 * 40
    method: Any = load_attack("square", queries=40)
    assert method.passes(Threat(norm, 0.1)) == (40, 0)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_verdict_stops_at_the_border_and_strength_goes_on(norm: Norm) -> None:
    x, _ = toy_images(16)
    model, watched = toy_model(), Watched()
    y = model(x).argmax(dim=1)
    verdict = run(watched, x, y, norm, RADII[norm])
    strength = run(model, x, y, norm, RADII[norm], "strength")
    broken = model(verdict).argmax(dim=1) != y
    assert 0 < int(broken.sum()) < 16
    assert torch.equal(broken, model(strength).argmax(dim=1) != y)
    assert watched.seen < 0.9 * 16 * QUERIES
    before, after = margin(model, verdict, y), margin(model, strength, y)
    assert float(after[broken].mean()) < 3 * float(before[broken].mean()) < 0
    # Images that hold take the same squares in both.
    torch.testing.assert_close(after[~broken], before[~broken], rtol=0, atol=1e-4)


def test_more_queries_only_ever_lower_the_margin() -> None:
    x, _ = toy_images(8)
    model = toy_model()
    y = model(x).argmax(dim=1)
    means = [
        float(margin(model, run(model, x, y, "linf", 0.03, "strength", queries), y).mean())
        for queries in (1, 20, 100)
    ]
    assert means == sorted(set(means), reverse=True)


def test_it_reaches_targets_and_leaves_the_k_highest() -> None:
    x, _ = toy_images(16)
    model = toy_model()
    y = model(x).argmax(dim=1)
    target = model(x).topk(2, dim=1).indices[:, 1]
    found = run(model, x, y, "linf", 0.08, target=target)
    assert float((model(found).argmax(dim=1) == target).float().mean()) > 0.6
    found = run(model, x, y, "linf", 0.08, topk=2)
    high = model(found).topk(2, dim=1).indices
    assert float((high != y[:, None]).all(dim=1).float().mean()) > 0.6


@pytest.mark.parametrize("size", [(1, 4, 7), (3, 9, 5), (1, 1, 1)])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_any_size_will_do(size: tuple[int, int, int], norm: Norm) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(3, *size, generator=generator)
    model = nn.Sequential(nn.Flatten(), nn.Linear(x[0].numel(), 3)).eval()
    y = model(x).argmax(dim=1)
    found = run(model, x, y, norm, 0.05, "strength", 60)
    assert float(distance(x, found, norm).max()) <= Threat(norm, 0.05).limit
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1
    assert bool((distance(x, found, norm) > 0.04).all())


@pytest.mark.parametrize("wrong", [{"queries": 0}, {"p_init": 0.0}, {"p_init": 1.5}])
def test_bad_arguments_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} is .*, take "):
        load_attack("square", **wrong)


def test_squares_shrink_over_the_queries_of_the_schedule() -> None:
    x = torch.zeros(1, 3, 32, 32)
    # Andriushchenko et al. count over 10,000 queries, whatever the budget.
    halvings = [0, 11, 51, 201, 501, 1001, 2001, 4001]
    sides = [_side(query, 10_000, 0.8, x) for query in halvings]
    assert sides == [round((0.8 / 2**k * 32 * 32) ** 0.5) for k in range(8)]
    assert _side(10, 10_000, 0.8, x) == sides[0]
    assert _side(11, 1_000, 0.8, x) == sides[2]
