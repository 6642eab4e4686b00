"""Corruptions and the spatial attack."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from superdef_bench import AttackContext, ConfigError, Random, Threat, load_attack
from superdef_bench.core.types import distance
from superdef_bench.testing import toy_images, toy_model
from tests.support.commands import CONFIG, Answer, records

NAMES = ["additive_gaussian", "blended_uniform", "salt_and_pepper", "blur"]
NONE = Threat("linf", None)


class Unseen(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise AssertionError("a corruption looked at the classifier")


def corrupt(name: str, x: Tensor, severity: int = 3, ids: Tensor | None = None) -> Tensor:
    ids = torch.arange(len(x)) if ids is None else ids
    context = AttackContext.start(ids, Random(0, "test", ids), goal="strength")
    y = torch.zeros(len(x), dtype=torch.int64)
    return load_attack(name, severity=severity)(Unseen(), x, y, NONE, context)


@pytest.mark.parametrize("name", NAMES)
def test_every_image_is_further_away_at_every_severity(name: str) -> None:
    x, _ = toy_images(8)
    away = torch.stack([distance(x, corrupt(name, x, s), "l2") for s in range(1, 6)])
    assert float(away[0].min()) > 0
    assert bool((away.diff(dim=0) > 0).all())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("severity", [0, 6, -1])
def test_other_severities_are_refused(name: str, severity: int) -> None:
    with pytest.raises(ConfigError, match=f"severity is {severity}, take 1 to 5"):
        load_attack(name, severity=severity)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_is_corrupted_the_same_in_any_batch(name: str) -> None:
    x, ids = toy_images(6)
    whole, order = corrupt(name, x, ids=ids), torch.tensor([4, 1])
    torch.testing.assert_close(
        whole[order], corrupt(name, x[order], ids=ids[order]), rtol=0, atol=0
    )


def grey(value: float = 0.5) -> Tensor:
    return torch.full((4, 3, 64, 64), value)


@pytest.mark.parametrize(("severity", "strength"), [*enumerate((0.02, 0.04, 0.08, 0.12, 0.18), 1)])
def test_gaussian_noise_has_the_stated_deviation(severity: int, strength: float) -> None:
    noise = corrupt("additive_gaussian", grey(), severity) - 0.5
    assert float(noise.std()) == pytest.approx(strength, rel=0.03)
    assert abs(float(noise.mean())) < 0.005


@pytest.mark.parametrize(("severity", "strength"), [*enumerate((0.05, 0.1, 0.2, 0.3, 0.45), 1)])
def test_blended_noise_has_the_stated_share(severity: int, strength: float) -> None:
    noise = corrupt("blended_uniform", grey(1.0), severity)
    assert float(noise.min()) == pytest.approx(1 - strength, abs=1e-3)
    assert float(noise.max()) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("severity", "strength"), [*enumerate((0.01, 0.02, 0.05, 0.1, 0.2), 1)])
def test_salt_and_pepper_hits_the_stated_share_of_pixels(severity: int, strength: float) -> None:
    found = corrupt("salt_and_pepper", grey(), severity)
    assert bool((found == found[:, :1]).all())
    white, black = (float((found == value).float().mean()) for value in (1.0, 0.0))
    assert white + black == pytest.approx(strength, rel=0.15)
    assert white == pytest.approx(black, rel=0.35)
    assert float((found == 0.5).float().mean()) == pytest.approx(1 - white - black, abs=1e-6)


@pytest.mark.parametrize(
    ("severity", "strength"), [*enumerate((0.015, 0.02, 0.03, 0.045, 0.06), 1)]
)
def test_blur_spreads_a_point_as_stated(severity: int, strength: float) -> None:
    x = torch.zeros(1, 1, 101, 101)
    x[..., 50, 50] = 1.0
    found = corrupt("blur", x, severity)[0, 0]
    assert float(found.sum()) == pytest.approx(1, abs=1e-5)
    places = torch.arange(101) - 50.0
    spread = float((found.sum(dim=0) * places**2).sum().sqrt())
    assert spread == pytest.approx(strength * 101, rel=0.03)
    torch.testing.assert_close(found, found.T)
    torch.testing.assert_close(corrupt("blur", grey(0.3), severity), grey(0.3))


def spatial(model: nn.Module, x: Tensor, y: Tensor, **arguments: float) -> Tensor:
    ids = torch.arange(len(x))
    context = AttackContext.start(ids, Random(0, "test", ids), goal="strength")
    return load_attack("spatial", **arguments)(model, x, y, NONE, context)


class Corner(nn.Module):
    """Says class 1 the more, the brighter one pixel is."""

    def __init__(self, row: int, column: int) -> None:
        super().__init__()
        self.row, self.column = row, column

    def forward(self, x: Tensor) -> Tensor:
        value = x[:, 0, self.row, self.column]
        return torch.stack([torch.full_like(value, 0.1), value], dim=1)


def test_a_translation_moves_the_image_as_far_as_stated() -> None:
    x = torch.zeros(1, 1, 16, 32)
    x[0, 0, 8, 12] = 1.0
    y = torch.zeros(1, dtype=torch.int64)
    expected = torch.zeros_like(x)
    expected[0, 0, 6, 16] = 1.0  # an eighth up, an eighth to the right
    found = spatial(Corner(6, 16), x, y, max_angle=0.0, angles=1, max_shift=0.125, shifts=3)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(33, 33), (33, 65)])
def test_a_rotation_keeps_angles_on_any_shape_of_image(shape: tuple[int, int]) -> None:
    x = torch.zeros(1, 1, *shape)
    middle = (shape[0] // 2, shape[1] // 2)
    x[0, 0, middle[0], middle[1] + 10] = 1.0
    y = torch.zeros(1, dtype=torch.int64)
    model = Corner(middle[0] + 10, middle[1])
    found = spatial(model, x, y, max_angle=90.0, angles=3, max_shift=0.0, shifts=1)
    assert float(found[0, 0, middle[0] + 10, middle[1]]) == pytest.approx(1, abs=1e-4)
    assert math.isclose(float(found.sum()), 1, abs_tol=1e-4)


def test_spatial_finds_the_worst_of_its_grid() -> None:
    x, _ = toy_images(8)
    model = toy_model()
    y = model(x).argmax(dim=1)

    def loss(images: Tensor) -> Tensor:
        return nn.functional.cross_entropy(model(images), y, reduction="none")

    coarse = spatial(model, x, y, angles=3, shifts=3)
    fine = spatial(model, x, y, angles=9, shifts=3)
    assert bool((loss(fine) >= loss(coarse) - 1e-5).all())
    assert float(loss(coarse).mean()) > float(loss(x).mean()) + 0.1
    method: Any = load_attack("spatial", angles=9, shifts=3)
    assert method.passes(NONE) == (81, 0)
    still = spatial(model, x, y, max_angle=0.0, max_shift=0.0, angles=1, shifts=1)
    assert torch.equal(still, x)


def test_spatial_moves_an_image_that_is_wrong_already() -> None:
    x = torch.full((1, 1, 17, 17), 0.5)
    x[0, 0, 8, 8] = 1.0
    y = torch.zeros(1, dtype=torch.int64)
    found = spatial(Corner(8, 8), x, y, max_angle=0.0, angles=1, shifts=3)
    assert float(Corner(8, 8)(found)[0, 1]) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    "wrong", [{"angles": 4}, {"shifts": 0}, {"max_angle": 200.0}, {"max_shift": 1.0}]
)
def test_a_bad_grid_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} is .*, take "):
        load_attack("spatial", **wrong)


def test_corruptions_run_once_outside_the_worst_case(
    run_cli: Callable[..., Answer], config: Callable[..., Path]
) -> None:
    text = CONFIG.replace("fgsm = {}", "blur = { severity = 5 }\nspatial = { angles = 3 }")
    answer = run_cli("run", config(text), "-o", "run", "--limit", "4", "--rung", "gray_box")
    assert answer.code == 0, answer.err
    rows = [row for row in records(Path("run")) if row["attack"] in ("blur", "spatial")]
    assert {row["rung"] for row in rows} == {"gray_box"}
    assert {row["eps"] for row in rows} == {None}
    assert {row["goal"] for row in rows} == {"strength"}
