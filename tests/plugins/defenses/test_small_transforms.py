"""`tv_min`, `pixel_deflection` and `feature_squeezing` against references and closed forms."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.restoration import denoise_tv_bregman, denoise_tv_chambolle
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from superdef_bench import ConfigError, InputTransform, Random, load_defense
from superdef_bench.testing import toy_images

_WEIGHT = 0.03


def draw(ids: Tensor) -> Random:
    return Random(0, "test", ids)


def transform(name: str, x: Tensor, ids: Tensor | None = None, **arguments: object) -> Tensor:
    defense = load_defense(name, **arguments)
    assert isinstance(defense, InputTransform)
    return defense(x, draw(torch.arange(len(x)) if ids is None else ids))


def noisy(count: int = 2, size: int = 32) -> Tensor:
    x, ids = toy_images(count, 3, size)
    return (x + 0.05 * Random(0, "noise", ids).normal(*x.shape[1:])).clamp(0, 1)


def variation(z: Tensor) -> Tensor:
    down, right = z.diff(dim=-2, append=z[..., -1:, :]), z.diff(dim=-1, append=z[..., -1:])
    return (down.square() + right.square()).sqrt().sum(dim=(1, 2, 3))


def objective(z: Tensor, x: Tensor, kept: Tensor | float = 1.0) -> Tensor:
    return (kept * (z - x)).square().sum(dim=(1, 2, 3)) / 2 + _WEIGHT * variation(z)


def kept_by(x: Tensor, keep: float = 0.5) -> Tensor:
    return (draw(torch.arange(len(x))).uniform(*x.shape[1:]) < keep).float()


def by_scikit_image(x: Tensor, method: object, **arguments: object) -> Tensor:
    assert callable(method)
    images = x.permute(0, 2, 3, 1).double().numpy()
    restored = [method(image, channel_axis=-1, **arguments) for image in images]
    return torch.from_numpy(np.stack(restored)).permute(0, 3, 1, 2).float()


def test_all_values_kept_is_the_total_variation_denoising_of_scikit_image() -> None:
    x = noisy()
    exact = by_scikit_image(x, denoise_tv_chambolle, weight=_WEIGHT, eps=0, max_num_iter=1000)
    found = transform("tv_min", x, keep=1.0, iterations=500)
    torch.testing.assert_close(found, exact, rtol=0, atol=2e-4)
    torch.testing.assert_close(transform("tv_min", x, keep=1.0), exact, rtol=0, atol=5e-3)


def test_split_bregman_of_scikit_image_ends_close_by_and_above_the_minimum() -> None:
    x = noisy()
    theirs = by_scikit_image(x, denoise_tv_bregman, weight=1 / _WEIGHT, eps=1e-6, max_num_iter=500)
    ours = transform("tv_min", x, keep=1.0)
    assert float((ours - theirs).square().mean().sqrt()) < 0.02
    assert bool((objective(ours, x) < objective(theirs, x)).all())


def test_a_stripe_loses_the_contrast_that_theory_gives() -> None:
    x = torch.full((1, 3, 12, 24), 0.2)
    x[..., 8:12] = 0.8
    # Both borders of the stripe, 4 wide, pull at it, and at the 8 and 12 columns beside it.
    expected = torch.full_like(x, 0.2 + _WEIGHT / 8)
    expected[..., 12:] = 0.2 + _WEIGHT / 12
    expected[..., 8:12] = 0.8 - 2 * _WEIGHT / 4
    found = transform("tv_min", x, keep=1.0, iterations=400)
    torch.testing.assert_close(found, expected, rtol=0, atol=3e-4)


@pytest.mark.parametrize("keep", [1.0, 0.5, 0.01])
def test_a_flat_image_stays_as_it_is_whatever_is_dropped(keep: float) -> None:
    x = torch.tensor([0.0, 0.3, 1.0]).view(3, 1, 1, 1).expand(3, 3, 24, 24)
    torch.testing.assert_close(transform("tv_min", x, keep=keep), x, rtol=0, atol=1e-6)


def test_total_variation_falls_with_the_weight() -> None:
    x = noisy()
    images = [x, *(transform("tv_min", x, weight=weight) for weight in (0.003, 0.03, 0.3))]
    found = torch.stack([variation(image) for image in images])
    assert bool((found.diff(dim=0) < 0).all())


@pytest.mark.parametrize("size", [16, 32])
def test_fifty_iterations_end_close_to_the_minimum(size: int) -> None:
    x = noisy(size=size)
    kept = kept_by(x)
    found, least = (objective(transform("tv_min", x, iterations=n), x, kept) for n in (50, 1000))
    assert bool((found < 1.0015 * least).all())


def test_values_that_were_dropped_have_no_say() -> None:
    x = noisy()
    kept = kept_by(x)
    assert 0.48 < float(kept.mean()) < 0.52
    assert float((kept[:, 0] - kept[:, 1]).abs().mean()) > 0.4  # each channel has its own
    out = transform("tv_min", x)
    assert torch.equal(transform("tv_min", torch.where(kept > 0, x, 1 - x)), out)
    assert not torch.allclose(transform("tv_min", torch.where(kept > 0, 1 - x, x)), out, atol=0.1)
    assert float((out - x).square().mean().sqrt()) < 0.08


def test_rebuilding_is_random_only_where_values_are_dropped() -> None:
    x = noisy()
    all_kept, half = load_defense("tv_min", keep=1.0), load_defense("tv_min")
    assert isinstance(all_kept, InputTransform)
    assert isinstance(half, InputTransform)
    assert not all_kept.stochastic
    assert (all_kept.reach, half.reach) == (50, None)
    assert torch.equal(all_kept(x), all_kept(x))
    assert half.stochastic
    other = half(x, draw(torch.tensor([5, 6])))
    assert not torch.allclose(other, half(x, draw(torch.tensor([7, 8]))), atol=1e-3)


@pytest.mark.parametrize("keep", [1.0, 0.6])
def test_the_gradient_through_all_iterations_is_exact(keep: float) -> None:
    # Away from the borders of [0, 1], in several spans of iterations.
    x = (0.1 + 0.8 * torch.rand(1, 1, 5, 6, generator=torch.Generator().manual_seed(0))).double()
    assert torch.autograd.gradcheck(
        lambda images: transform("tv_min", images, keep=keep, iterations=25),
        x.requires_grad_(),
        eps=1e-7,
        atol=1e-5,
        fast_mode=True,
    )


def test_a_forward_pass_holds_the_ends_of_spans_only() -> None:
    def held(iterations: int) -> float:
        saved: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            saved[storage.data_ptr()] = storage.nbytes()
            return tensor

        x = noisy(1, 64).requires_grad_()
        with saved_tensors_hooks(pack, lambda it: it):
            out = transform("tv_min", x, iterations=iterations)
        assert out.requires_grad
        return sum(saved.values()) / (x.numel() * x.element_size())

    assert held(100) < 60  # in images; about eight for each iteration otherwise


def places(height: int, width: int) -> Tensor:
    """Return an image whose channels tell the row, the column, and their sum."""
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack((row, column, row + column))[None] / 200


@pytest.mark.parametrize(("size", "window"), [((32, 48), 10), ((20, 12), 3), ((4, 5), 10)])
def test_deflected_pixels_are_whole_ones_from_around(size: tuple[int, int], window: int) -> None:
    x = places(*size).expand(64, -1, -1, -1)
    # As good as no wavelets.
    out = transform("pixel_deflection", x, deflections=30, window=window, sigma=1e-7)
    moved = (200 * (out - x)).round()
    assert float((200 * (out - x) - moved).abs().max()) < 0.01
    row, column, both = moved.unbind(dim=1)
    assert torch.equal(row + column, both)
    changed = ((row != 0) | (column != 0)).sum(dim=(1, 2))
    assert int(changed.max()) <= 30
    assert int(changed.min()) > 0.2 * min(30, size[0] * size[1])
    for offsets, side in ((row, size[0]), (column, size[1])):
        farthest = min(window, side - 1)
        assert (int(offsets.min()), int(offsets.max())) == (-farthest, farthest)
    somewhere = (row != 0).any(dim=0)  # in some image
    assert bool(somewhere.any(dim=0).all())
    assert bool(somewhere.any(dim=1).all())


def test_the_source_of_a_deflection_is_uniform_over_its_window() -> None:
    x = places(1, 9).expand(4000, -1, -1, -1)
    out = transform("pixel_deflection", x, deflections=9, window=2, sigma=1e-7)
    at_the_border, inside = (
        torch.bincount((200 * out[:, 1, 0, column]).round().int(), minlength=9) / len(out)
        for column in (0, 4)
    )
    # Nine draws leave a pixel alone with (8/9)^9, else it is one of three, or of five.
    left = (8 / 9) ** 9
    expected = torch.full((3,), (1 - left) / 3)
    expected[0] += left
    torch.testing.assert_close(at_the_border[:3], expected, rtol=0, atol=0.03)
    expected = torch.full((5,), (1 - left) / 5)
    expected[2] += left
    torch.testing.assert_close(inside[2:7], expected, rtol=0, atol=0.03)


def test_pixel_deflection_ends_in_the_wavelets_of_the_paper() -> None:
    x = noisy()
    deflected = transform("pixel_deflection", x, sigma=1e-7)
    found = transform("pixel_deflection", x)
    torch.testing.assert_close(found, transform("wavelet", deflected), rtol=0, atol=1e-4)
    assert float((found - transform("wavelet", x)).abs().max()) > 0.05


@pytest.mark.parametrize("name", ["tv_min", "pixel_deflection"])
def test_an_image_has_the_same_draw_in_any_batch(name: str) -> None:
    x, ids = noisy(4), torch.tensor([3, 1, 4, 15])
    together = transform(name, x, ids)
    for index in ([2], [3, 0], [1, 2, 3]):
        some = transform(name, x[index], ids[index])
        torch.testing.assert_close(some, together[index], rtol=0, atol=1e-5)
    assert not torch.allclose(transform(name, x, ids + 1), together, atol=0.01)


@pytest.mark.parametrize("window", [1, 2, 3, 4, 5, 12])
def test_squeezing_is_rounding_and_the_median_of_scipy(window: int) -> None:
    x = noisy()[..., :20, :11]
    out = transform("feature_squeezing", x, window=window, bits=4)
    rounded = (x * 15).round() / 15
    expected = ndimage.median_filter(rounded.numpy(), size=(1, 1, window, window), mode="reflect")
    assert np.array_equal(out.numpy(), expected)


def test_squeezing_is_by_default_five_bits_and_two_pixels() -> None:
    x = noisy()
    out = transform("feature_squeezing", x)
    assert torch.equal(out, transform("feature_squeezing", x, bits=5, window=2))
    assert 20 < len(out.unique()) <= 32


def test_squeezing_sends_the_gradient_to_the_pixel_that_it_picks() -> None:
    defense = load_defense("feature_squeezing")
    assert isinstance(defense, InputTransform)
    assert not defense.differentiable
    x = noisy().requires_grad_()
    picked = defense.bpda_surrogate(x)
    torch.testing.assert_close((picked * 31).round() / 31, defense(x), rtol=0, atol=0)
    out = defense.straight_through(x, None, None)
    assert torch.equal(out, defense(x))
    (gradient,) = torch.autograd.grad(out.sum(), x)
    assert torch.equal(gradient, gradient.round())
    assert float(gradient.sum()) == x.numel()


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("tv_min", {"keep": 0.0}),
        ("tv_min", {"keep": 1.5}),
        ("tv_min", {"weight": 0.0}),
        ("tv_min", {"iterations": 0}),
        ("pixel_deflection", {"deflections": 0}),
        ("pixel_deflection", {"window": 0}),
        ("pixel_deflection", {"sigma": 0.0}),
        ("feature_squeezing", {"bits": 0}),
        ("feature_squeezing", {"bits": 9}),
        ("feature_squeezing", {"window": 0}),
    ],
)
def test_bad_arguments_are_refused(name: str, argument: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=rf"(?s)defense '{name}'.*{next(iter(argument))}.*take"):
        load_defense(name, **argument)
