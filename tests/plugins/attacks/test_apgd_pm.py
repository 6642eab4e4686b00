"""APGD-PM: what it breaks, what an image may depend on, and odd classifiers."""

from functools import partial
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from superdef_bench import (
    AttackContext,
    ConfigError,
    InputTransform,
    Protected,
    Random,
    Threat,
    load_attack,
)
from superdef_bench.core.threats import Goal, Norm
from superdef_bench.core.types import distance
from superdef_bench.engine import climb_probabilities
from superdef_bench.testing import toy_images, toy_model
from tests.support.linear import attack, linear

RADII: dict[Norm, float] = {"linf": 0.01, "l2": 0.3}


class Wrapped(nn.Module):
    """The toy classifier with its logits changed, on dark images without numbers."""

    def __init__(
        self,
        scale: float = 1.0,
        classes: int = 10,
        *,
        lacks: Literal["nothing", "logits", "slope"] = "nothing",
    ) -> None:
        super().__init__()
        self.inner, self.scale, self.classes, self.lacks = toy_model(), scale, classes, lacks

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.scale * self.inner(x)[:, : self.classes]
        dark = (x.mean(dim=(1, 2, 3)) < 0.5)[:, None]
        if self.lacks == "logits":
            return torch.where(dark, torch.nan, logits)
        if self.lacks == "slope":  # that of a root at 0 is infinite, times 0
            return logits + torch.where(dark, 0 * logits, 1.0).sqrt()
        return logits


def method(steps: int = 10, targets: int = 4, **arguments: Any) -> Any:
    return load_attack("apgd_pm", steps=steps, targets=targets, **arguments)


def right(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    found: Tensor = model(x).argmax(dim=1) == y
    return found


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("goal", ["verdict", "strength"])
def test_it_stays_in_the_ball_and_breaks_what_apgd_breaks(norm: Norm, goal: Goal) -> None:
    x, _ = toy_images(16)
    model = toy_model()
    y = model(x).argmax(dim=1)
    eps = RADII[norm]
    found = attack(method(), model, x, y, norm, eps, goal)
    assert float(distance(x, found, norm).max()) <= eps * (1 + 1e-5) + 1e-6
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    apgd = attack(load_attack("apgd_ce", steps=10), model, x, y, norm, eps)
    left, expected = right(model, found, y), right(model, apgd, y)
    assert 0 < int(left.sum()) <= int(expected.sum()) < 16


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_wide_ball_leaves_nothing(norm: Norm) -> None:
    x, _ = toy_images(8)
    model = toy_model()
    y = model(x).argmax(dim=1)
    found = attack(method(), model, x, y, norm, 15 * RADII[norm], "verdict")
    assert not bool(right(model, found, y).any())


@pytest.mark.parametrize("first", ["down", "up"])
def test_large_logits_hide_nothing_from_a_run_on_the_margin(first: Literal["down", "up"]) -> None:
    x, _ = toy_images(16)
    loud = Wrapped(1e4)
    y = loud(x).argmax(dim=1)
    climb: Any = partial(climb_probabilities, first=first, steps=10)
    plain = attack(climb, toy_model(), x, y, "linf", 0.03, "verdict")
    found = attack(climb, loud, x, y, "linf", 0.03, "verdict")
    pgd = attack(load_attack("pgd", random_starts=False), loud, x, y, "linf", 0.03)
    left = [int(right(loud, images, y).sum()) for images in (plain, found, pgd)]
    assert left[0] == left[1] < left[2]


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_an_image_is_the_same_alone_in_any_batch_and_order(norm: Norm) -> None:
    x, ids = toy_images(12)
    model, threat = toy_model(), Threat(norm, RADII[norm])
    y = model(x).argmax(dim=1)

    def run(rows: Tensor) -> tuple[Tensor, Tensor]:
        context = AttackContext.start(ids[rows], Random(0, "test", ids[rows]))
        return method()(model, x[rows], y[rows], threat, context), context.first_step

    whole, steps = run(torch.arange(12))
    assert 0 < int((steps >= 0).sum()) < 12
    backwards = torch.arange(12).flip(0)
    for rows in (backwards, torch.tensor([7, 2, 9]), torch.tensor([3])):
        found, first = run(rows)
        torch.testing.assert_close(found, whole[rows], rtol=0, atol=1e-5)
        assert torch.equal(first, steps[rows])


def test_strength_breaks_all_that_verdict_breaks_at_no_lower_margin() -> None:
    x, _ = toy_images(16)
    model = toy_model()
    y = model(x).argmax(dim=1)

    def margin(images: Tensor) -> Tensor:
        logits = model(images)
        others = logits.scatter(1, y[:, None], -torch.inf).amax(dim=1)
        return others - logits.gather(1, y[:, None])[:, 0]

    verdict, strength = (
        attack(method(), model, x, y, "linf", 0.01, goal) for goal in ("verdict", "strength")
    )
    broken = ~right(model, verdict, y)
    assert 0 < int(broken.sum()) < 16
    assert not bool(right(model, strength, y)[broken].any())
    assert bool((margin(strength) >= margin(verdict) - 1e-5).all())


def test_it_takes_as_many_passes_as_it_says_at_most_and_few_where_images_fall() -> None:
    x, ids = toy_images(32)  # rows of a forward pass: fewer would be filled up
    model = Protected((), toy_model()).eval()
    y = model(x).argmax(dim=1)
    spent = {}
    trials: tuple[tuple[Goal, float], ...] = (("strength", 0.015), ("verdict", 0.1))
    for goal, eps in trials:
        view = model.view("exact")
        context = AttackContext.start(ids, Random(0, "test", ids), goal=goal)
        method()(view, x, y, Threat("linf", eps), context)
        spent[goal] = view.passes.forwards / 32, view.passes.backwards / 32
    most = method().passes(Threat("linf", 0.015))
    unseen = 100 - 9  # it looks at the likeliest hundred classes; here there are nine
    assert spent["strength"] == (most[0] - unseen, most[1] - unseen)
    assert spent["verdict"][0] < 10


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_few_classes_do(classes: int, norm: Norm) -> None:
    x, _ = toy_images(8)
    model = Wrapped(classes=classes)
    y = model(x).argmax(dim=1)
    found = attack(method(), model, x, y, norm, 15 * RADII[norm], "verdict")
    assert not bool(right(model, found, y).any())


def test_a_linear_classifier_is_broken_wherever_it_can_be() -> None:
    model, x, y = linear(16)
    reach = model(x)[:, 1].abs() / model.weight.abs().sum()  # the border of each image
    eps = float(reach.median()) * 1.01
    found = attack(method(), model, x, y, "linf", eps, "verdict")
    assert torch.equal(right(model, found, y), reach > eps)


@pytest.mark.parametrize("lacks", ["logits", "slope"])
@pytest.mark.parametrize("goal", ["verdict", "strength"])
def test_what_is_no_number_does_not_stop_it(lacks: Literal["logits", "slope"], goal: Goal) -> None:
    x, _ = toy_images(8)
    model = Wrapped(lacks=lacks)
    y = toy_model()(x).argmax(dim=1)
    found = attack(method(), model, x, y, "linf", 0.1, goal)
    assert bool(torch.isfinite(found).all())
    bright = x.mean(dim=(1, 2, 3)) > 0.6
    assert 0 < int(bright.sum()) < 8
    assert not bool(right(model, found, y)[bright].any())


class Noisy(InputTransform):
    """Draws noise too weak to matter."""

    stochastic = True

    def transform(self, x: Tensor, *, random: Random) -> Tensor:
        return (x + 0.001 * random.normal(*x.shape[1:])).clamp(0.0, 1.0)


def test_a_random_defense_gets_its_draws_in_every_step() -> None:
    x, ids = toy_images(2)
    protected = Protected([Noisy()], toy_model()).eval()
    y = toy_model()(x).argmax(dim=1)
    spent = []
    for eot in (1, 3):
        view = protected.view("exact")
        context = AttackContext.start(ids, Random(0, "test", ids), goal="strength", eot=eot)
        method(steps=4, targets=2)(view, x, y, Threat("linf", 0.1), context)
        spent.append(view.passes.backwards)
    assert spent[1] == 3 * spent[0]


@pytest.mark.parametrize("wrong", [{"steps": 1}, {"targets": 0}])
def test_bad_arguments_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} is .*, take "):
        method(**wrong)
