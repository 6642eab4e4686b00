"""Fits of untrained networks: alone or in any batch the same, and none knows of another."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from superdef_bench.core.errors import ConfigError, DataError
from superdef_bench.core.loader import load_dataset
from superdef_bench.core.rng import Random
from superdef_bench.nn.quality import psnr
from superdef_bench.nn.skip import PUBLISHED, SMALL, SkipShape
from superdef_bench.prior import Plateau, PriorFit, Static, follow, restore, shape_for
from superdef_bench.prior import fit as fit_module

TINY = SkipShape((4, 8), (0, 2))


def signs(count: int) -> Tensor:
    return load_dataset("signs", split="test").load(range(count))[0]


def random(*ids: int) -> Random:
    return Random(0, "test", torch.tensor(ids))


def drawn(images: Tensor, ids: Random, steps: int, shape: SkipShape | None = None) -> Tensor:
    """Return what the networks draw at a step."""
    fit = PriorFit(images, ids, shape=shape)
    return [fit.step()[0] for _ in range(steps)][-1]


def test_a_row_is_the_same_alone_in_a_batch_and_in_another_order() -> None:
    images, ids = signs(6), [3, 1, 4, 1_000_000_007, 5, 9]
    together = drawn(images, random(*ids), 8)
    for row in (0, 5):
        alone = drawn(images[row : row + 1], random(ids[row]), 8)
        assert torch.equal(alone[0], together[row])
    order = [5, 2, 0, 1, 4, 3]
    turned = drawn(images[order], random(*(ids[place] for place in order)), 8)
    assert torch.equal(turned, together[order])


def test_rows_that_stay_go_on_as_if_nobody_had_left() -> None:
    images = signs(6)
    whole, fit = (
        drawn(images, random(*range(6)), 9, TINY),
        PriorFit(images, random(*range(6)), shape=TINY),
    )
    for _ in range(4):
        fit.step()
    fit.keep(torch.tensor([1, 4]))
    for _ in range(4):
        fit.step()
    assert torch.equal(fit.step()[0], whole[[1, 4]])


def test_it_agrees_with_one_network_at_a_time_in_float64() -> None:
    images = signs(3).double()[..., 8:24, 8:24]
    together = drawn(images, random(0, 1, 2), 50, TINY)
    alone = drawn(images[2:], random(2), 50, TINY)
    torch.testing.assert_close(alone[0], together[2], rtol=0, atol=1e-6)


@pytest.mark.slow
def test_a_whole_fit_in_a_batch_is_as_near_to_one_alone_as_rounding_lets_it() -> None:
    images = signs(4)
    together = drawn(images, random(0, 1, 2, 3), 120)
    rows = [images[row : row + 1] for row in range(4)]
    alone = torch.cat([drawn(rows[row], random(row), 120) for row in range(4)])
    moved = torch.nextafter(images, torch.ones(()))
    nudged = torch.cat([drawn(moved[row : row + 1], random(row), 120) for row in range(4)])
    itself = (nudged - alone).abs().amax(dim=(1, 2, 3))
    assert ((together - alone).abs().amax(dim=(1, 2, 3)) <= 10 * itself).all()
    assert float(itself.min()) > 1e-4  # a fit magnifies one ulp: the bound says something
    fits = psnr(together, images), psnr(alone, images)
    assert float(fits[0].mean() - fits[1].mean()) == pytest.approx(0.0, abs=0.3)
    assert float(fits[1].mean()) > 20


def test_a_second_fit_equals_the_first_and_another_draw_does_not() -> None:
    images, ids = signs(2), torch.tensor([7, 8])
    first, again = (drawn(images, Random(0, "test", ids), 5, TINY) for _ in range(2))
    assert torch.equal(first, again)
    other = drawn(images, Random(0, "test", ids, draws=torch.ones_like(ids)), 5, TINY)
    assert not torch.isclose(first, other, atol=1e-3).all()


def test_the_error_falls_and_is_that_of_what_was_drawn() -> None:
    images = signs(4)
    fit = PriorFit(images, random(0, 1, 2, 3))
    steps = [fit.step() for _ in range(40)]
    for picture, errors in (steps[0], steps[-1]):
        found = (picture - images).square().mean(dim=(1, 2, 3))
        torch.testing.assert_close(found, errors)
    assert (steps[-1][1] < steps[0][1] / 3).all()


def test_a_fit_that_fell_apart_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_module, "_GUARDED", 10)
    images = signs(2)
    fit = PriorFit(images, random(0, 1), shape=TINY)
    for _ in range(9):
        fit.step()
    kept = fit._weights["colours.bias"].detach().clone()  # what the tenth error is the error of
    before = fit.step()[1]
    with torch.no_grad():
        fit._weights["colours.bias"][0] += 9.0  # white, whatever it drew
    for _ in range(9):
        fit.step()
    with torch.no_grad():
        fit._weights["colours.bias"][0] += 9.0
    broken = fit.step()[1]
    assert broken[0] > 4 * before[0]
    assert torch.equal(fit._weights["colours.bias"][0], kept[0])
    assert not torch.equal(fit._weights["colours.bias"][1], kept[1])


def test_sides_that_are_no_multiple_of_the_stride_are_drawn_too() -> None:
    images = torch.rand(2, 3, 21, 34)
    assert drawn(images, random(0, 1), 2).shape == images.shape


@pytest.mark.parametrize(
    ("size", "shape"), [((33, 40), PUBLISHED), ((32, 200), SMALL), ((9, 9), SMALL)]
)
def test_the_network_goes_by_the_size(size: tuple[int, int], shape: SkipShape) -> None:
    assert shape_for(*size) is shape


def test_what_cannot_be_fitted_is_told_in_a_line() -> None:
    with pytest.raises(DataError, match="8x40 is too small"):
        shape_for(8, 40)
    with pytest.raises(DataError, match="32x32 is too small for a network that halves it 5 times"):
        PriorFit(signs(1), random(0), shape=PUBLISHED)
    with pytest.raises(DataError, match="have 1"):
        PriorFit(torch.rand(1, 1, 32, 32), random(0))
    with pytest.raises(ConfigError, match="steps is 0"):
        restore(signs(1), random(0), lambda: Static(1), most=0, shape=TINY)
    with pytest.raises(DataError, match="ended in no number"):
        restore(signs(2) / 0, random(0, 1), lambda: Static(2), most=2, shape=TINY)
    with pytest.raises(DataError, match="ended in no number"):
        restore(signs(2) / 0, random(0, 1), lambda: Plateau(5), most=30, shape=TINY)


def test_many_images_are_cut_into_batches() -> None:
    images = signs(20)
    found = restore(images, random(*range(20)), lambda: Static(2), most=2, shape=TINY)
    last = drawn(images[18:], random(18, 19), 2, TINY)
    assert torch.equal(found[18:], last)
    assert restore(images[:0], random(), lambda: Static(2), most=2).shape == (0, 3, 32, 32)


def test_rules_share_a_trajectory_and_rows_leave_when_all_have_stopped(tmp_path: Path) -> None:
    images = signs(3)
    rules = {"early": Static(3), "late": Static(12)}
    fit, seen = PriorFit(images, random(0, 1, 2), shape=TINY), []
    found = follow(fit, images, rules, most=40, watch=lambda *step: seen.append(step))
    assert len(seen) == 40
    assert torch.equal(found["early"][0], seen[2][1])
    assert torch.equal(found["late"][0], seen[11][1])
    assert found["late"][1].tolist() == [12, 12, 12]
    again = PriorFit(images, random(0, 1, 2), shape=TINY)
    unwatched = follow(again, images, {"late": Static(12)}, most=40)
    assert again.step_number == 20
    assert torch.equal(unwatched["late"][0], found["late"][0])
