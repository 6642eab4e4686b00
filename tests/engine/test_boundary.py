"""FAB: its projection against the reference's, the exact distance of a linear classifier."""

import pytest
import torch
from pyautoattack.fab_projections import projection_l2, projection_linf
from torch import Tensor, nn

from superdef_bench.core.rng import Random
from superdef_bench.core.threats import Norm, Threat
from superdef_bench.core.types import AttackContext, distance
from superdef_bench.engine import fab
from superdef_bench.engine.apgd import split_runs
from superdef_bench.engine.boundary import _approach, onto_boundary
from superdef_bench.engine.search import Search
from superdef_bench.testing import toy_images, toy_model

NORMS: tuple[Norm, ...] = ("linf", "l2")
SHAPE = (5, 2, 3, 4, 4)


def hyperplanes(seed: int, far: float) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    point = torch.rand(SHAPE, generator=generator).round(decimals=1)  # some lie on 0 and on 1
    slope = torch.randn(SHAPE, generator=generator)
    value = far * torch.randn(SHAPE[:2], generator=generator)
    return point, slope, value


def length(move: Tensor, norm: Norm) -> Tensor:
    order = 2 if norm == "l2" else float("inf")
    return torch.linalg.vector_norm(move.flatten(2), ord=order, dim=2)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("far", [0.1, 2.0, 8.0])
def test_the_projection_is_that_of_the_reference(norm: Norm, far: float) -> None:
    project = projection_linf if norm == "linf" else projection_l2
    for seed in range(5):
        point, slope, value = hyperplanes(seed, far)
        move = onto_boundary(point, slope, value, norm)
        offset = (slope * point).flatten(2).sum(dim=2) - value
        theirs = project(
            point.flatten(0, 1).flatten(1), slope.flatten(0, 1).flatten(1), offset.flatten()
        )
        assert torch.allclose(
            length(move, norm).flatten(), length(theirs.view(SHAPE), norm).flatten(), atol=1e-4
        )
        assert float((point + move).min()) >= -1e-6
        assert float((point + move).max()) <= 1 + 1e-6
        left = value + (slope * move).flatten(2).sum(dim=2)
        lowest = slope * torch.where(slope * value[..., None, None, None] > 0, -point, 1 - point)
        reachable = lowest.flatten(2).sum(dim=2).abs() > value.abs()
        assert float(left[reachable].abs().max()) < 1e-3


def test_without_a_slope_nothing_moves() -> None:
    point = torch.rand(SHAPE)
    for norm in NORMS:
        move = onto_boundary(point, torch.zeros(SHAPE), torch.ones(SHAPE[:2]), norm)
        assert torch.equal(move, torch.zeros(SHAPE))


class Linear(nn.Module):
    """Three logits, linear in the image."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.randn(3, 48, generator=torch.Generator().manual_seed(3))
        self.rows = 0

    def forward(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        return (x.flatten(1) - 0.5) @ self.weight.T + torch.tensor([0.3, 0.0, 0.0])


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("nearest", [False, True])
def test_it_finds_the_boundary_where_it_is(norm: Norm, nearest: bool) -> None:
    model, x, ids = Linear(), torch.full((2, 3, 4, 4), 0.5), torch.arange(2)
    y = torch.zeros(2, dtype=torch.int64)
    other = model.weight[1:] - model.weight[0]
    dual = other.abs().sum(dim=1) if norm == "linf" else other.norm(dim=1)
    exact = float((0.3 / dual).min())
    for factor, breaks in ((1.02, True), (0.98, False)):
        threat = Threat(norm, factor * exact)
        context = AttackContext.start(ids, Random(0, "test", ids))
        found = fab(model, x, y, threat, context, targets=9, steps=20, nearest=nearest)
        assert bool((model(found).argmax(dim=1) != y).all()) is breaks
        assert float(distance(x, found, norm).max()) <= threat.limit


def test_a_step_is_one_forward_pass() -> None:
    model, x, ids = Linear(), torch.full((2, 3, 4, 4), 0.5), torch.arange(2)
    y = torch.zeros(2, dtype=torch.int64)
    context = AttackContext.start(ids, Random(0, "test", ids))
    fab(model, x, y, Threat("linf", 1e-6), context, targets=2, steps=20)
    assert model.rows == 2 + 2 * 2 * 21  # which classes are likely, then each iterate


@pytest.mark.parametrize("norm", NORMS)
def test_no_verdict_depends_on_other_images(norm: Norm) -> None:
    x, ids = toy_images(7)
    model, threat = toy_model(), Threat(norm, 0.004 if norm == "linf" else 0.1)
    y = model(x).argmax(dim=1)

    def attack(index: Tensor) -> Tensor:
        context = AttackContext.start(ids[index], Random(0, "test", ids[index]))
        return fab(model, x[index], y[index], threat, context, targets=9, steps=15, restarts=2)

    found = attack(torch.arange(7))
    fooled = model(found).argmax(dim=1) != y
    assert 0 < int(fooled.sum()) < 7
    for index in torch.tensor([4, 1, 0, 2, 6, 5, 3]).split(3):
        again = attack(index)
        assert torch.equal(model(again).argmax(dim=1) != y[index], fooled[index])


def test_the_nearest_of_several_boundaries_is_the_one_whose_gap_counts() -> None:
    model, x, ids = Linear(), torch.full((2, 3, 4, 4), 0.5), torch.arange(2)
    y = torch.zeros(2, dtype=torch.int64)
    context = AttackContext.start(ids, Random(0, "test", ids), goal="strength")
    search = Search(x, y, context)
    (aims,) = split_runs(model, search.batch(), torch.tensor([[2, 1], [2, 1]]))
    _approach(model, search, aims, x[:, None], Threat("linf", 0.2), 5, 0)
    logits = model(search.best)
    assert bool((logits.argmax(dim=1) != y).all())
    # Of a fooling iterate it is above 0, whichever class was reached.
    assert torch.allclose(search._loss, (logits[:, 1:].amax(dim=1) - logits[:, 0]), atol=1e-4)
