"""The wavelet stage: the values of scikit-image, and the gradient of those values."""

import numpy as np
import pytest
import skimage.data
import torch
from skimage.restoration import denoise_wavelet
from torch import Tensor

from superdef_bench import ConfigError, Random, load_defense
from superdef_bench.nn import wavelet_denoise
from superdef_bench.nn.stages import default_levels
from superdef_bench.testing import toy_images


def photographs(height: int, width: int) -> Tensor:
    """Return crops of photographs `(3, 3, height, width)` in [0, 1]; all ship with scikit-image."""
    names = ("astronaut", "chelsea", "coffee")
    crops = [getattr(skimage.data, name)()[1 : 1 + height, 90 : 90 + width] for name in names]
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255


def reference(image: Tensor, sigma: float, levels: int | None = None) -> Tensor:
    """Denoise `(C, H, W)` by scikit-image, with clipping, which it leaves to the caller."""
    colour = len(image) == 3
    pixels = image.permute(1, 2, 0) if colour else image[0]
    out = denoise_wavelet(
        pixels.double().numpy(),
        sigma=sigma,
        mode="soft",
        method="BayesShrink",
        convert2ycbcr=colour,
        rescale_sigma=True,
        channel_axis=-1 if colour else None,
        wavelet_levels=levels,
    )
    restored = torch.from_numpy(out).clamp(0, 1)
    return restored.permute(2, 0, 1) if colour else restored[None]


def farthest(x: Tensor, sigma: float, levels: int | None = None) -> float:
    """Return the largest difference from scikit-image over a batch."""
    ours = wavelet_denoise(x, sigma=sigma, levels=levels)
    expected = torch.stack([reference(image, sigma, levels) for image in x])
    return float((ours - expected).abs().max())


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (64, 64), (299, 299)])
@pytest.mark.parametrize("sigma", [0.01, 0.04, 0.1])
def test_photographs_come_out_as_from_scikit_image(size: tuple[int, int], sigma: float) -> None:
    x = photographs(*size)
    disturbed = x + 0.05 * Random(0, "noise", torch.arange(len(x))).normal(*x.shape[1:])
    assert farthest(x, sigma) < 1e-4
    assert farthest(disturbed.clamp(0, 1), sigma) < 1e-4
    assert float((wavelet_denoise(x, sigma=sigma) - x).abs().max()) > 1e-2


@pytest.mark.filterwarnings("ignore:Level value of")
@pytest.mark.parametrize("levels", [1, 3, 7])
@pytest.mark.parametrize("size", [(33, 47), (64, 64), (5, 8), (2, 3), (1, 1)])
def test_any_number_of_levels_is_that_of_scikit_image(size: tuple[int, int], levels: int) -> None:
    assert farthest(photographs(*size), 0.04, levels) < 1e-4


@pytest.mark.parametrize("sigma", [0.04, 0.3, 2.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_grey_images_and_wiped_out_bands_come_out_as_from_scikit_image(
    sigma: float, channels: int
) -> None:
    grey = photographs(64, 64).mean(dim=1, keepdim=True)
    assert farthest(grey.repeat(1, channels, 1, 1), sigma) < 1e-4


def test_noise_above_all_details_leaves_the_means_of_blocks() -> None:
    x = photographs(32, 32)[:, :1]
    blocks = torch.nn.functional.avg_pool2d(x, 4)
    expected = blocks.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    torch.testing.assert_close(wavelet_denoise(x, sigma=5.0), expected)


def test_the_levels_are_three_fewer_than_fit() -> None:
    levels = [default_levels(size, size, "db1") for size in (8, 32, 224, 299)]
    assert levels == [1, 2, 4, 5]
    assert default_levels(32, 299, "db1") == 2


@pytest.mark.parametrize("sigma", [0.01, 0.04])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_gradient_is_that_of_finite_differences(sigma: float, channels: int) -> None:
    x = (0.1 + 0.8 * photographs(8, 12)[:1, :channels]).double().requires_grad_()

    def denoise(images: Tensor) -> Tensor:
        return wavelet_denoise(images, sigma=sigma, levels=2)

    assert torch.autograd.gradcheck(denoise, x, eps=1e-7, atol=1e-5)


def test_what_is_clipped_has_no_gradient() -> None:
    noise = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    x = torch.where(noise < 0.5, 0.02 * noise, 1 - 0.02 * noise).requires_grad_()

    def denoise(images: Tensor) -> Tensor:
        return wavelet_denoise(images, sigma=0.2)

    out = denoise(x).detach()
    assert ((out == 0) | (out == 1)).sum() > 20
    assert torch.autograd.gradcheck(denoise, x, eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("wavelet", ["db1", "db2", "sym4"])
@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_flat_images_stay_as_they_are_and_have_the_gradient_of_a_mean(
    dtype: torch.dtype, wavelet: str, value: float, channels: int
) -> None:
    x = torch.full((2, channels, 32, 32), value, dtype=dtype, requires_grad=True)
    out = wavelet_denoise(x, sigma=0.04, wavelet=wavelet)
    torch.testing.assert_close(out.detach(), x.detach(), atol=2e-6, rtol=0)
    assert 0 <= out.amin().item() <= out.amax().item() <= 1
    (gradient,) = torch.autograd.grad(out.sum(), x)
    torch.testing.assert_close(gradient.sum(), torch.tensor(float(x.numel()), dtype=dtype))


@pytest.mark.parametrize("sigma", [0.04, 0.29, 5.0])
def test_no_image_has_a_gradient_that_is_no_number(sigma: float) -> None:
    x = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    x[1] = 0.0
    x[1, :, 3, 3] = 1.0  # details in a few bands only
    x[2, :, :, 16:] = 0.0
    x[3] = x[3].round()
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(wavelet_denoise(x, sigma=sigma).square().sum(), x)
    assert torch.isfinite(gradient).all()
    assert gradient.flatten(1).abs().sum(dim=1).min() > 0


def test_an_image_has_thresholds_of_its_own() -> None:
    x = photographs(33, 47)
    x[1] = 0.5 + 0.01 * x[1]
    together = wavelet_denoise(x, sigma=0.04)
    alone = torch.cat([wavelet_denoise(image, sigma=0.04) for image in x.split(1)])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)
    leaf = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(wavelet_denoise(leaf, sigma=0.04)[0].sum(), leaf)
    assert gradient[0].abs().sum() > 0
    assert gradient[1:].abs().sum() == 0


def test_most_noise_goes_when_its_true_level_is_told() -> None:
    clean, ids = toy_images(4)
    disturbed = clean + 0.05 * Random(0, "noise", ids).normal(*clean.shape[1:])
    left = {
        sigma: float((wavelet_denoise(disturbed, sigma=sigma) - clean).square().mean())
        for sigma in (0.01, 0.03, 0.05, 0.07)
    }
    assert min(left, key=lambda sigma: left[sigma]) == 0.05
    assert left[0.05] < 0.7 * float((disturbed - clean).square().mean())


def test_a_wavelet_that_is_none_is_refused() -> None:
    for wavelet in ("db99", "bior2.2"):
        with pytest.raises(ConfigError, match="take an orthogonal one"):
            load_defense("wavelet", wavelet=wavelet)
