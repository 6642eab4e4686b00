"""Text in maps: what is drawn, and what a fit leaves of it."""

import pytest
import torch

from superdef_bench.core.errors import ConfigError, DataError
from superdef_bench.prior.maps import draw_map
from superdef_bench.prior.text import Found, Residual, blurred, residuals


@pytest.mark.parametrize("aerial", [False, True])
def test_a_map_has_text_that_stands_out_the_same_each_time(aerial: bool) -> None:
    first, again = (draw_map(3, 96, aerial=aerial) for _ in range(2))
    assert torch.equal(first.image, again.image)
    assert not torch.equal(first.image, draw_map(4, 96, aerial=aerial).image)
    assert 0.01 < first.text.float().mean() < 0.2
    light = first.image.mean(dim=0)
    inside, outside = light[first.text].mean(), light[~first.text].mean()
    assert (inside - outside > 0.3) == aerial
    assert abs(inside - outside) > 0.3
    with pytest.raises(ConfigError, match="too small"):
        draw_map(0, 32)


def test_text_is_what_all_channels_have_more_or_less_of() -> None:
    left = torch.zeros(3, 1, 4)
    left[:, 0, 0], left[:, 0, 1], left[:2, 0, 2] = 0.3, -0.3, 0.9
    assert Residual(1, left, left).text(0.25)[0].tolist() == [True, True, False, False]
    assert not Residual(1, left, left).text(0.3).any()


def test_what_is_found_is_counted_in_pixels() -> None:
    known = torch.tensor([[True, True, False, False, False]])
    found = Found.of(torch.tensor([[True, False, True, True, False]]), known)
    assert found.recall == 0.5
    assert found.precision == pytest.approx(1 / 3)
    assert found.f1 == pytest.approx(0.4)
    nothing = Found.of(torch.zeros_like(known), known)
    assert nothing.f1 == 0
    assert Found.mean([found, nothing]).recall == 0.25
    with pytest.raises(DataError, match="the known text is 5x1, the map 4x1"):
        Found.of(torch.zeros(1, 4, dtype=torch.bool), known)
    with pytest.raises(DataError, match="no white pixel"):
        Found.of(known, torch.zeros_like(known))


def test_a_fit_draws_streets_before_letters() -> None:
    drawn = draw_map(0, 64)
    seen = list(residuals(drawn.image, 40))
    assert [each.iteration for each in seen] == list(range(1, 41))
    assert torch.equal(seen[3].left, drawn.image - seen[3].drawn)
    error = seen[-1].left.square().mean(dim=0)
    assert error[drawn.text].mean() > 4 * error[~drawn.text].mean()
    assert Found.of(seen[-1].text(), drawn.text).f1 > 0.5
    # The same network at once, whatever else is fitted.
    assert torch.equal(next(residuals(drawn.image, 1)).left, seen[0].left)


def test_a_blur_of_a_small_map_is_one() -> None:
    image = torch.full((3, 5, 9), 0.25)
    torch.testing.assert_close(blurred(image).drawn, image)


def test_maps_that_cannot_be_fitted() -> None:
    with pytest.raises(ConfigError, match="iterations is 0"):
        next(residuals(torch.rand(3, 64, 64), 0))
    with pytest.raises(DataError, match="2,097,152 pixels, a fit takes 1,048,576"):
        next(residuals(torch.empty(3, 2048, 1024), 1))
    with pytest.raises(DataError, match="8x8 is too small"):
        next(residuals(torch.rand(3, 8, 8), 1))
