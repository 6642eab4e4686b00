"""The attack engine against what is known in closed form."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from superdef_bench import AttackContext, Protected, Random, Threat, load_attack
from superdef_bench.core.threats import Goal, Norm
from superdef_bench.core.types import distance
from superdef_bench.engine import Batch, Look, Search, ascend
from superdef_bench.testing import toy_images, toy_model
from tests.support.linear import Linear, attack, linear


def steepest(model: Linear, y: Tensor, norm: Norm) -> Tensor:
    """Return the unit step that lowers the margin of each image fastest."""
    towards = (1 - 2 * y.float()).view(-1, 1, 1, 1) * model.weight
    return towards.sign() if norm == "linf" else towards / model.weight.norm()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("fgsm", {}),
        ("mi_fgsm", {}),
        # In L2 a random start turns towards the best point by an eighth of what is left.
        ("pgd", {"steps": 150, "relative_step": 0.125}),
        ("pgd", {"random_starts": False}),
    ],
)
def test_attacks_find_the_best_point_of_the_ball_on_a_linear_classifier(
    name: str, settings: dict[str, Any], norm: Norm
) -> None:
    model, x, y = linear()
    eps = {"linf": 0.01, "l2": 0.1}[norm]
    exact = x + eps * steepest(model, y, norm)
    found = attack(load_attack(name, **settings), model, x, y, norm, eps)
    # Near the best point of an L2 ball the loss is flat: float32 cannot tell 1e-5 apart.
    tolerance = {"linf": 1e-6, "l2": 1e-5}[norm]
    torch.testing.assert_close(found, exact, rtol=0, atol=tolerance)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_deepfool_finds_the_distance_to_a_linear_border_within_two_percent(norm: Norm) -> None:
    model, x, y = linear()
    found = attack(load_attack("deepfool"), model, x, y, norm, None)
    dual = model.weight.abs().sum() if norm == "linf" else model.weight.norm()
    exact = (model(x)[:, 1].abs() / dual).double()
    ratio = distance(x, found, norm) / exact
    assert float(exact.min()) > 0
    # The overshoot of 1e-4 that foolbox adds for stability is no part of the claim.
    slack = 1e-4 * 1.01 / exact
    assert bool((model(found).argmax(dim=1) != y).all())
    assert float((ratio - slack).max()) < 1.02
    assert float(ratio.min()) >= 1


@pytest.mark.parametrize("name", ["fgsm", "pgd", "mi_fgsm"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_ball_without_radius_holds_the_clean_image_only(name: str, norm: Norm) -> None:
    x, _ = toy_images()
    model = toy_model()
    y = model(x).argmax(dim=1)
    found = attack(load_attack(name), model, x, y, norm, 0.0)
    assert torch.equal(found, x)


def right(model: nn.Module, x: Tensor, y: Tensor) -> float:
    return float((model(x).argmax(dim=1) == y).float().mean())


def test_accuracy_falls_with_eps_and_loss_rises_with_steps() -> None:
    x, _ = toy_images(64)
    model = toy_model()
    y = model(x).argmax(dim=1)
    by_eps = [
        right(model, attack(load_attack("pgd"), model, x, y, "linf", eps), y)
        for eps in (0.0, 0.01, 0.02, 0.04, 0.08)
    ]
    assert by_eps == sorted(by_eps, reverse=True)
    assert by_eps[0] == 1
    assert by_eps[-1] == 0
    losses = []
    for steps in (1, 3, 10, 40):
        found = attack(load_attack("pgd", steps=steps), model, x, y, "linf", 0.01)
        losses.append(float(nn.functional.cross_entropy(model(found), y)))
    assert losses == sorted(losses)


@pytest.mark.parametrize("name", ["fgsm", "pgd", "mi_fgsm"])
def test_strength_breaks_all_that_verdict_breaks_and_at_no_lower_loss(name: str) -> None:
    x, _ = toy_images(64)
    model = toy_model()
    y = model(x).argmax(dim=1)
    method = load_attack(name)
    verdict = attack(method, model, x, y, "linf", 0.015, "verdict")
    strength = attack(method, model, x, y, "linf", 0.015, "strength")
    broken = model(verdict).argmax(dim=1) != y
    assert 0 < int(broken.sum()) < 64
    assert bool((model(strength).argmax(dim=1) != y)[broken].all())
    loss = [
        nn.functional.cross_entropy(model(point), y, reduction="none")
        for point in (verdict, strength)
    ]
    assert bool((loss[1] >= loss[0] - 1e-5).all())


def test_verdict_stops_early_and_saves_passes() -> None:
    x, ids = toy_images(64)
    model = Protected((), toy_model()).eval()
    y = model(x).argmax(dim=1)
    spent = {}
    for goal in ("verdict", "strength"):
        view = model.view("exact")
        context = AttackContext.start(ids, Random(0, "test", ids), goal=goal)
        load_attack("pgd", restarts=2)(view, x, y, Threat("linf", 0.05), context)
        spent[goal] = (view.passes.forwards, view.passes.backwards)
        if goal == "verdict":
            assert int(context.first_step.min()) >= 0
    assert spent["strength"] == (2 * 21 * 64, 2 * 20 * 64)
    assert spent["verdict"][0] < spent["strength"][0] / 4


def test_restarts_differ_and_only_ever_help() -> None:
    x, _ = toy_images(64)
    model = toy_model()
    y = model(x).argmax(dim=1)
    methods = [load_attack("pgd", steps=1, restarts=n) for n in (1, 2, 5)]
    goals: tuple[Goal, ...] = ("verdict", "strength")
    for goal in goals:
        found = [attack(m, model, x, y, "linf", 0.012, goal) for m in methods]
        left = [right(model, images, y) for images in found]
        assert left == sorted(left, reverse=True)
        losses = [float(nn.functional.cross_entropy(model(images), y)) for images in found]
        assert losses == sorted(set(losses))


def test_verdict_gives_the_same_example_alone_and_in_a_batch() -> None:
    x, ids = toy_images(32)
    model = toy_model()
    y = model(x).argmax(dim=1)
    method, threat = load_attack("pgd"), Threat("linf", 0.02)

    def run(rows: slice) -> Tensor:
        context = AttackContext.start(ids[rows], Random(0, "test", ids[rows]))
        return method(model, x[rows], y[rows], threat, context)

    alone = torch.cat([run(slice(i, i + 1)) for i in range(32)])
    torch.testing.assert_close(run(slice(None)), alone, rtol=0, atol=1e-5)


def test_a_target_is_reached() -> None:
    x, ids = toy_images(16)
    model = toy_model()
    y = model(x).argmax(dim=1)
    target = (y + 3) % 10
    context = AttackContext.start(ids, Random(0, "test", ids), goal="strength", target=target)
    found = load_attack("pgd")(model, x, y, Threat("linf", 0.15), context)
    assert float((model(found).argmax(dim=1) == target).float().mean()) > 0.8


def test_search_keeps_the_fooling_iterate_of_highest_loss() -> None:
    x = torch.zeros(1, 1, 1, 1)
    ids = torch.arange(1)
    steps = [(0.9, False), (0.5, True), (0.7, True), (0.95, False), (0.6, True)]
    kept = {}
    for goal in ("verdict", "strength"):
        context = AttackContext.start(ids, Random(0, "test", ids), goal=goal)
        search = Search(x, torch.zeros(1, dtype=torch.int64), context)
        batch: Batch = search.batch()
        for number, (loss, fooled) in enumerate(steps):
            seen = Look(torch.tensor([loss]), torch.tensor([fooled]), None)
            iterate = torch.full_like(x, float(number))
            search.update(batch, number, iterate, seen, clean=number == 0)
        kept[goal] = int(search.best)
        assert context.first_step.tolist() == [1]
    assert kept == {"verdict": 1, "strength": 2}


def test_ascent_asks_for_no_weight_gradients() -> None:
    x, ids = toy_images()
    model = toy_model().requires_grad_(True)
    y = model(x).argmax(dim=1)
    context = AttackContext.start(ids, Random(0, "test", ids))
    ascend(model, x, y, Threat("linf", 0.01), context, steps=2, step_size=0.01)
    assert all(parameter.grad is None for parameter in model.parameters())
