"""The attack `low_frequency_pgd`: smooth perturbations in the ball, and PGD at full resolution."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from superdef_bench import AttackContext, Random, Threat, load_attack, load_dataset, load_model
from superdef_bench.core.threats import Norm
from superdef_bench.core.types import distance
from superdef_bench.testing import toy_images, toy_model
from tests.support.commands import Answer
from tests.support.linear import attack, linear


def fine(change: Tensor, cut_off: float) -> float:
    """Return the share of a perturbation's energy above a frequency in cycles per pixel."""
    energy = torch.fft.fft2(change).abs().square().sum(dim=(0, 1))
    down, across = (torch.fft.fftfreq(side).abs() for side in change.shape[-2:])
    above = torch.maximum(down[:, None], across[None, :]) > cut_off
    return float(energy[above].sum() / energy.sum())


def grey_images() -> Tensor:
    """Return images far from black and white, where nothing is cut to [0, 1]."""
    return 0.3 + 0.4 * toy_images(8)[0]


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("ratio", [0.5, 0.25])
def test_the_perturbation_is_smooth_and_fills_the_ball(norm: Norm, ratio: float) -> None:
    x, model = grey_images(), toy_model()
    y = model(x).argmax(dim=1)
    eps = {"linf": 8 / 255, "l2": 1.0}[norm]
    found = attack(load_attack("low_frequency_pgd", ratio=ratio), model, x, y, norm, eps)
    usual = attack(load_attack("pgd"), model, x, y, norm, eps)
    lengths = distance(x, found, norm)
    assert bool((lengths <= eps * (1 + 1e-5)).all())
    assert bool((lengths > 0.9 * eps).all())
    # A grid of that ratio has frequencies up to half of it; bilinear edges leave some beyond.
    assert fine(found - x, ratio / 2) < 0.15
    assert fine(usual - x, ratio / 2) > 2 * fine(found - x, ratio / 2)


def test_images_at_the_borders_of_the_range_stay_in_it() -> None:
    x, model = toy_images(8)[0].round(), toy_model()
    y = model(x).argmax(dim=1)
    found = attack(load_attack("low_frequency_pgd"), model, x, y, "linf", 8 / 255)
    assert 0 <= found.min() <= found.max() <= 1
    assert bool((distance(x, found, "linf") <= 8 / 255 * (1 + 1e-5)).all())


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_grid_as_fine_as_the_image_is_pgd(norm: Norm) -> None:
    model, x, y = linear()
    eps = {"linf": 0.02, "l2": 0.2}[norm]
    ours, usual = (
        attack(load_attack(name, **settings), model, x, y, norm, eps)
        for name, settings in (("low_frequency_pgd", {"ratio": 1.0}), ("pgd", {}))
    )
    torch.testing.assert_close(ours, usual, atol=1e-5, rtol=0)


def test_of_all_smooth_perturbations_it_finds_the_best_against_a_linear_classifier() -> None:
    model, x, y = linear()
    eps = 0.02
    method = load_attack("low_frequency_pgd", ratio=0.5, random_starts=False)
    found = attack(method, model, x, y, "linf", eps)
    grid = torch.nn.functional.interpolate(
        torch.eye(16).view(16, 1, 4, 4), size=(8, 8), mode="bilinear"
    )
    towards = (1 - 2 * y.float())[:, None, None, None] * model.weight
    gains = torch.einsum("nchw,gohw->ncg", towards, grid)
    best = eps * gains.abs().sum(dim=(1, 2))
    reached = (towards * (found - x)).sum(dim=(1, 2, 3))
    torch.testing.assert_close(reached, best, rtol=1e-3, atol=0)


def test_it_breaks_an_undefended_classifier() -> None:
    x, y = load_dataset("signs", split="test").load(list(range(32)))
    model = load_model("signs_resnet8")
    found = attack(load_attack("low_frequency_pgd"), model, x, y, "linf", 16 / 255, "verdict")
    with torch.no_grad():
        before, after = (int((model(images).argmax(dim=1) == y).sum()) for images in (x, found))
    assert before >= 29
    assert after <= 8


def test_a_target_is_reached_and_top_k_asks_for_more() -> None:
    (x, ids), model = toy_images(8), toy_model()
    y = model(x).argmax(dim=1)
    target = model(x).argsort(dim=1, descending=True)[:, 1]
    method, ball = load_attack("low_frequency_pgd"), Threat("linf", 0.15)
    context = AttackContext.start(ids, Random(0, "test", ids), target=target)
    found = method(model, x, y, ball, context)
    assert int((model(found).argmax(dim=1) == target).sum()) >= 6
    wide = AttackContext.start(ids, Random(0, "test", ids), topk=3)
    out = method(model, x, y, ball, wide)
    assert int(wide.fooled(model(out), y).sum()) >= 4


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"ratio": 0.0}, "ratio is 0.0, take a number above 0, up to 1"),
        ({"ratio": 1.5}, "ratio is 1.5"),
        ({"steps": 0}, "steps is 0, take 1 or more"),
        ({"relative_step": -1.0}, "relative_step is -1.0, take a number above 0"),
    ],
)
def test_bad_arguments_are_refused(argument: dict[str, object], message: str) -> None:
    with pytest.raises(Exception, match=message):
        load_attack("low_frequency_pgd", **argument)


def test_the_command_finds_that_it_keeps_its_contract(run_cli: Callable[..., Answer]) -> None:
    answer = run_cli("check", "low_frequency_pgd")
    assert answer.code == 0, answer.err
    assert "low_frequency_pgd" in answer.out
