"""The built-in defenses against references and their own algebra."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from superdef_bench import ConfigError, InputTransform, Random, load_defense
from superdef_bench.testing import toy_images


def transform(name: str, x: Tensor, **arguments: object) -> Tensor:
    defense = load_defense(name, **arguments)
    assert isinstance(defense, InputTransform)
    return defense(x, Random(0, "test", torch.arange(len(x))))


def noisy(size: int = 32, channels: int = 3) -> Tensor:
    x, ids = toy_images(4, channels, size)
    return (x + 0.05 * Random(0, "noise", ids).normal(*x.shape[1:])).clamp(0, 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [30, 75])
def test_jpeg_is_the_real_codec(channels: int, quality: int) -> None:
    x = noisy(channels=channels)
    ours = transform("jpeg", x, quality=quality)
    for image, restored in zip(x, ours, strict=True):
        pixels = (image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels.squeeze()).save(file, "JPEG", quality=quality)
        expected = np.asarray(Image.open(file)).reshape(pixels.shape)
        assert np.array_equal((restored.permute(1, 2, 0).numpy() * 255).round(), expected)
    assert not torch.equal(ours, x)


def test_bit_depth_leaves_as_many_levels_as_it_says() -> None:
    x = torch.linspace(0, 1, 3 * 32 * 32).view(1, 3, 32, 32)
    for bits in (1, 3, 8):
        out = transform("bit_depth", x, bits=bits)
        assert len(out.unique()) == 2**bits
        torch.testing.assert_close(transform("bit_depth", out, bits=bits), out)


def test_median_removes_single_pixels_and_is_the_median() -> None:
    x = torch.full((1, 3, 16, 16), 0.5)
    x[0, :, 5, 7] = 1.0
    assert torch.equal(transform("median", x), torch.full_like(x, 0.5))
    y = noisy()
    out = transform("median", y)
    for row, column in ((4, 4), (10, 20), (30, 1)):
        window = y[0, 1, row - 1 : row + 2, column - 1 : column + 2]
        assert float(out[0, 1, row, column]) == float(window.flatten().sort().values[4])


def test_gaussian_blur_keeps_flat_images_and_has_the_variance_it_says() -> None:
    flat = torch.full((1, 3, 16, 16), 0.3)
    torch.testing.assert_close(transform("gaussian_blur", flat), flat)
    point = torch.zeros(1, 1, 33, 33)
    point[0, 0, 16, 16] = 1
    spread = transform("gaussian_blur", point, sigma=1.5)[0, 0]
    places = torch.arange(33) - 16.0
    assert float(spread.sum()) == pytest.approx(1, abs=1e-5)
    assert float((spread.sum(dim=0) * places**2).sum()) == pytest.approx(1.5**2, rel=0.03)


@pytest.mark.parametrize(("name", "exact"), [("nearest_x2", True), ("bicubic_x2", False)])
def test_enlargement_doubles_the_size(name: str, exact: bool) -> None:
    x = noisy()
    out = transform(name, x)
    assert out.shape == (4, 3, 64, 64)
    if exact:
        assert torch.equal(out[..., ::2, ::2], x)
    back = transform(name, x, output="resize_back")
    assert back.shape == x.shape


def test_random_resize_pad_places_an_enlarged_image_on_black() -> None:
    x = torch.ones(64, 3, 32, 32)
    out = transform("random_resize_pad", x)
    assert out.shape == (64, 3, 35, 35)
    sides = out[:, 0].amax(dim=2).sum(dim=1)
    assert set(sides.int().tolist()) == {32, 33, 34}
    assert set(out.unique().tolist()) == {0.0, 1.0}
    corners = {tuple(image.nonzero().amin(dim=0).tolist()) for image in out[:, 0]}
    assert len(corners) > 4


def test_gaussian_noise_has_the_deviation_it_says_and_a_draw_of_its_own_per_image() -> None:
    x = torch.full((8, 3, 32, 32), 0.5)
    noise = transform("gaussian_noise", x, sigma=0.1) - x
    assert float(noise.std()) == pytest.approx(0.1, rel=0.02)
    assert float(noise.mean()) == pytest.approx(0, abs=0.002)
    assert len({tuple(image.flatten()[:4].tolist()) for image in noise}) == 8


def test_random_bit_depth_draws_the_levels_of_each_image() -> None:
    x = torch.linspace(0, 1, 3 * 32 * 32).view(1, 3, 32, 32).expand(64, -1, -1, -1)
    out = transform("random_bit_depth", x, fewest=1, most=3)
    assert {len(image.unique()) for image in out} == {2, 4, 8}
    fixed = transform("random_bit_depth", x, fewest=3, most=3)
    assert torch.equal(fixed, transform("bit_depth", x, bits=3))


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("jpeg", {"quality": 0}),
        ("gaussian_noise", {"sigma": 0}),
        ("random_bit_depth", {"fewest": 4, "most": 3}),
        ("bit_depth", {"bits": 9}),
        ("gaussian_blur", {"sigma": 0}),
        ("median", {"size": 4}),
        ("wavelet", {"sigma": -1}),
        ("random_resize_pad", {"ratio": 1}),
        ("bicubic_x2", {"output": "smaller"}),
    ],
)
def test_bad_arguments_are_refused(name: str, argument: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=rf"(?s)defense '{name}'.*take"):
        load_defense(name, **argument)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_there_and_back_again_keeps_the_size_and_is_what_pil_does(mode: str) -> None:
    x = noisy(34)
    kernel = {"nearest": 0, "bilinear": 2, "bicubic": 3}[mode]
    for path, large in (("up_down", (68, 68)), ("down_up", (17, 17))):
        ours = transform("interpolation", x, mode=mode, path=path)
        assert ours.shape == x.shape
        plane = Image.fromarray(x[0, 0].numpy(), mode="F")
        there = Image.fromarray(np.asarray(plane.resize(large, kernel)).clip(0, 1), mode="F")
        back = np.asarray(there.resize((34, 34), kernel)).clip(0, 1)
        assert np.abs(ours[0, 0].numpy() - back).max() < 1e-5


def test_the_shortcuts_are_the_options_of_one_plugin() -> None:
    x = noisy()
    for mode in ("nearest", "bilinear", "bicubic"):
        assert torch.equal(transform("interpolation", x, mode=mode), transform(f"{mode}_x2", x))
    assert torch.equal(transform("interpolation", x, mode="nearest", path="up_down"), x)


def test_up_and_down_by_bicubic_hands_on_most_of_a_perturbation() -> None:
    signs = torch.randint(0, 2, (8, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    noise = (2 * signs - 1) * 8 / 255
    grey = torch.full_like(noise, 0.5)
    left = transform("interpolation", grey + noise, path="up_down") - grey
    correlation = (left * noise).sum() / (left.norm() * noise.norm())
    # docs/defenses.md says 0.95.
    assert float(correlation) == pytest.approx(0.95, abs=0.005)
