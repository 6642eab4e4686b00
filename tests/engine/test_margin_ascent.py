"""The probability margin and the order of the nearest classes against their closed forms."""

import pytest
import torch
from torch import Tensor, nn

from superdef_bench import AttackContext, Random
from superdef_bench.core.threats import Norm
from superdef_bench.engine import Search, near_classes, probability_margin, targeted_ratio
from superdef_bench.engine.losses import Push, dlr, margin

LOGITS = torch.tensor([[[2.0, 1.0, 0.5, 0.0], [0.0, 1.5, 1.0, 0.5]]])  # (1, 2, 4)
Y = torch.tensor([0, 3])
TARGET = torch.tensor([2, 0])


def slope(logits: Tensor, push: Push = "both") -> Tensor:
    """Return the gradient `(n, N, K)`."""
    leaf = logits.clone().requires_grad_()
    loss = probability_margin(leaf, Y, None, push=push)
    return torch.autograd.grad(loss.sum(), leaf)[0]


def test_it_is_the_margin_of_the_softmax() -> None:
    p = LOGITS.softmax(dim=-1)[0]
    expected = torch.stack([p[0, 1] - p[0, 0], p[1, 1] - p[1, 3]])[None]
    torch.testing.assert_close(probability_margin(LOGITS, Y, None), expected)
    aimed = torch.stack([p[0, 2] - p[0, 0], p[1, 0] - p[1, 1]])[None]
    torch.testing.assert_close(probability_margin(LOGITS, Y, TARGET), aimed)


def test_a_push_has_the_same_value_and_the_slope_of_one_probability() -> None:
    pushes: tuple[Push, ...] = ("down", "up")
    for push in pushes:
        value = probability_margin(LOGITS, Y, None, push=push)
        assert torch.equal(value, probability_margin(LOGITS, Y, None))
    p = LOGITS.softmax(dim=-1)
    pick = nn.functional.one_hot(Y, 4)[None]
    of_label = (p * pick).sum(dim=-1, keepdim=True) * (pick - p)
    torch.testing.assert_close(slope(LOGITS, "down"), -of_label)
    torch.testing.assert_close(slope(LOGITS), slope(LOGITS, "down") + slope(LOGITS, "up"))


def test_large_logits_leave_a_gradient_where_the_softmax_has_none() -> None:
    loud = 1000 * LOGITS
    leaf = loud.clone().requires_grad_()
    plain = margin(leaf.softmax(dim=-1), Y, None)
    assert float(torch.autograd.grad(plain.sum(), leaf)[0][0, 0].abs().max()) == 0
    pushes: tuple[Push, ...] = ("both", "down", "up")
    for push in pushes:
        found = slope(loud, push)[0] * 1000
        assert bool((found[[0, 1], Y] < -1e-3).all()), push
        assert bool((found[[0, 1], [1, 1]] > 1e-3).all()), push
    assert bool(((probability_margin(loud, Y, None) > 0) == (margin(LOGITS, Y, None) > 0)).all())


def test_too_few_classes_for_the_ratio_get_the_margin() -> None:
    assert torch.equal(targeted_ratio(LOGITS, Y, TARGET), dlr(LOGITS, Y, TARGET))
    few, aim = LOGITS[..., :3], torch.tensor([1, 0])
    y = torch.tensor([0, 1])
    assert torch.equal(targeted_ratio(few, y, aim), margin(few, y, aim))


class Planes(nn.Module):
    """Logits `W x + b`."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.T + self.bias


def planes(classes: int = 6) -> tuple[Planes, Tensor, Tensor, AttackContext]:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(classes, 12, generator=generator)
    weight *= torch.linspace(0.2, 5, classes)[:, None]  # steep planes are near, not likely
    model = Planes(weight, torch.randn(classes, generator=generator))
    x = torch.rand(8, 3, 2, 2, generator=generator)
    ids = torch.arange(8)
    return model, x, model(x).argmax(dim=1), AttackContext.start(ids, Random(0, "test", ids))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_nearest_classes_are_those_of_the_nearest_planes(norm: Norm) -> None:
    model, x, y, context = planes()
    gap = model(x).gather(1, y[:, None]) - model(x)
    between = model.weight[None] - model.weight[y][:, None]  # (N, K, D)
    length = between.abs().sum(dim=-1) if norm == "linf" else between.norm(dim=-1)
    distance = (gap / length).scatter(1, y[:, None], torch.inf)
    expected = distance.argsort(dim=1)
    batch = Search(x, y, context).batch()
    assert torch.equal(near_classes(model, batch, 3, norm), expected[:, :3])
    assert torch.equal(near_classes(model, batch, 9, norm), expected[:, :5])
    likeliest = gap.scatter(1, y[:, None], torch.inf).argsort(dim=1)
    assert not torch.equal(expected[:, 0], likeliest[:, 0])


def test_of_many_classes_the_likeliest_are_looked_at() -> None:
    model, x, y, context = planes()
    batch = Search(x, y, context).batch()
    two = near_classes(model, batch, 1, "linf", candidates=2)
    likeliest = model(x).argsort(dim=1, descending=True)[:, 1:3]
    assert bool((two == likeliest).any(dim=1).all())
