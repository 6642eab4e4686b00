"""Attacks that look for the smallest perturbation, against distances known in closed form."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from superdef_bench import AttackContext, ConfigError, Random, Threat, load_attack
from superdef_bench.core.threats import Norm
from superdef_bench.core.types import distance
from superdef_bench.testing import toy_images, toy_model
from tests.support.linear import Linear, attack, linear


def exact(model: Linear, x: Tensor, norm: Norm) -> Tensor:
    """Return the distance of each image to the border."""
    dual = model.weight.abs().sum() if norm == "linf" else model.weight.norm()
    return (model(x)[:, 1].abs() / dual).double()


def well_inside() -> tuple[Linear, Tensor, Tensor]:
    """Return images 0.1 to 0.5 from the border, on both sides, and far from black and white."""
    model, x, _ = linear()
    wanted = torch.tensor([0.1, -0.2, 0.3, -0.4, 0.5])
    size = model.weight.norm()
    x = x + (wanted - model(x)[:, 1] / size).view(-1, 1, 1, 1) * model.weight / size
    assert float(x.min()) > 0.2
    assert float(x.max()) < 0.8
    return model, x, model(x).argmax(dim=1)


@pytest.mark.parametrize(
    ("name", "norm", "limit"),
    [
        ("cw", "l2", 1.05),
        ("ddn", "l2", 1.05),
        ("deepfool", "l2", 1.05),
        ("deepfool", "linf", 1.05),
        # Its last step goes as far as the slope before it says, which falls off at the border.
        ("newtonfool", "l2", 1.1),
    ],
)
def test_the_distance_to_a_linear_border_is_right(name: str, norm: Norm, limit: float) -> None:
    model, x, y = well_inside()
    found = attack(load_attack(name), model, x, y, norm, None)
    ratio = distance(x, found, norm) / exact(model, x, norm)
    assert bool((model(found).argmax(dim=1) != y).all())
    assert float(ratio.min()) >= 1 - 1e-6
    assert float(ratio.max()) < limit


@pytest.mark.parametrize(("norm", "limit"), [("l2", 1.1), ("linf", 1.3)])
def test_labels_alone_come_near_a_linear_border_and_nearer_with_queries(
    norm: Norm, limit: float
) -> None:
    model, x, y = linear()
    ratios = []
    for queries in (300, 3000):
        found = attack(load_attack("hopskipjump", queries=queries), model, x, y, norm, None)
        assert bool((model(found).argmax(dim=1) != y).all())
        ratios.append(float((distance(x, found, norm) / exact(model, x, norm)).max()))
    assert ratios == sorted(ratios, reverse=True)
    assert 1 <= ratios[-1] < limit


def test_newtonfool_takes_the_step_of_the_paper() -> None:
    model, x, y = linear()
    probability = model(x).softmax(dim=1)[range(len(y)), y]
    slope = probability * (1 - probability) * model.weight.norm()
    for step_size in (1e-4, 10.0):
        found = attack(
            load_attack("newtonfool", steps=1, step_size=step_size), model, x, y, "l2", None
        )
        longest = step_size * x.flatten(1).norm(dim=1)
        expected = torch.minimum(longest, (probability - 0.5) / slope)
        torch.testing.assert_close(distance(x, found, "l2").float(), expected, rtol=1e-3, atol=0)
        towards = (1 - 2 * y.float()).view(-1, 1, 1, 1) * model.weight
        direction = nn.functional.cosine_similarity((found - x).flatten(1), towards.flatten(1))
        assert float(direction.min()) > 0.9999


def test_images_that_are_wrong_already_stay_where_they_are() -> None:
    x, _ = toy_images(4)
    model = toy_model()
    wrong = model(x).argmin(dim=1)
    for name in ("deepfool", "newtonfool", "hopskipjump"):
        found = attack(load_attack(name), model, x, wrong, "l2", None)
        torch.testing.assert_close(found, x, rtol=0, atol=1e-6)


def test_confidence_pushes_beyond_the_border() -> None:
    model, x, y = linear()
    found = attack(load_attack("cw", confidence=1.0), model, x, y, "l2", None)
    lead = (1 - 2 * y.float()) * model(found)[:, 1]
    assert float(lead.min()) >= 1 - 1e-4
    assert float(lead.max()) < 1.5


@pytest.mark.parametrize(
    ("name", "arguments"), [("cw", {"steps": 25, "binary_search_steps": 4}), ("ddn", {"steps": 40})]
)
def test_a_target_is_reached_at_a_longer_distance(name: str, arguments: dict[str, int]) -> None:
    x, ids = toy_images(6)
    model = toy_model()
    y = model(x).argmax(dim=1)
    target = model(x).argmin(dim=1)
    context = AttackContext.start(ids, Random(0, "test", ids), goal="strength", target=target)
    found = load_attack(name, **arguments)(model, x, y, Threat("l2", None), context)
    assert bool((model(found).argmax(dim=1) == target).all())
    free = attack(load_attack(name, **arguments), model, x, y, "l2", None)
    assert bool((distance(x, found, "l2") > distance(x, free, "l2")).all())


class LabelsOnly(nn.Module):
    """The toy classifier with nothing left in its logits but the label; counts images."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.seen = toy_model(), 0

    def forward(self, x: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        assert not x.requires_grad
        self.seen += len(x)
        return nn.functional.one_hot(self.inner(x).argmax(dim=1), 10).float()


def test_hopskipjump_asks_for_labels_only_and_as_often_as_it_says() -> None:
    x, ids = toy_images(4)
    y = toy_model()(x).argmax(dim=1)
    method: Any = load_attack("hopskipjump", queries=600)
    threat = Threat("l2", None)

    def run(model: nn.Module, **settings: int) -> Tensor:
        context = AttackContext.start(ids, Random(0, "test", ids), goal="strength", **settings)
        found: Tensor = method(model, x, y, threat, context)
        return found

    model = LabelsOnly()
    found = run(model)
    assert 0.8 * 600 < model.seen / len(x) <= method.passes(threat)[0] == 600
    torch.testing.assert_close(found, run(toy_model()), rtol=0, atol=1e-5)
    ranks = toy_model()(run(toy_model(), topk=3)).argsort(dim=1, descending=True)
    assert not bool((ranks[:, :3] == y[:, None]).any())


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("cw", {"steps": 0}),
        ("cw", {"initial_const": 0.0}),
        ("cw", {"confidence": -1.0}),
        ("ddn", {"gamma": 1.0}),
        ("ddn", {"init_epsilon": 0.0}),
        ("newtonfool", {"step_size": 0.0}),
        ("hopskipjump", {"queries": 10}),
        ("hopskipjump", {"evaluations": 1}),
    ],
)
def test_bad_arguments_are_refused(name: str, wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} is .*, take "):
        load_attack(name, **wrong)
