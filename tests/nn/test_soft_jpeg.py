"""The JPEG with a gradient: close to the real codec, and the gradient of its own values."""

import io
from typing import cast

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image, JpegImagePlugin
from torch import Tensor

from superdef_bench.nn import jpeg_round_trip, soft_jpeg
from superdef_bench.nn.soft_jpeg import quantisation, smooth_round

# Largest mean and single error that photographs of `SIZES` have, in levels of 8 bits. The codec
# rounds pixels, luma and chroma to whole levels, which the stand-in does not: 0.25 in the mean
# for each of them, and one level of chroma is 1.8 of blue. Where the two round a coefficient
# differently, at a step, a whole step of the table is between them: the single errors.
SIZES = [(32, 32), (33, 47), (17, 16), (64, 64), (7, 3)]
LIMITS = {30: (1.3, 15), 50: (1.4, 17), 75: (1.0, 12), 95: (1.0, 9)}


def photographs(height: int, width: int, channels: int = 3) -> Tensor:
    """Return crops of photographs `(3, channels, height, width)` in [0, 1]."""
    names = ("astronaut", "chelsea", "coffee")
    crops = [getattr(skimage.data, name)()[1 : 1 + height, 90 : 90 + width] for name in names]
    x = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
    return x if channels == 3 else x[:, 1:2]


@pytest.mark.parametrize("quality", [1, 10, 30, 49, 50, 75, 95])
def test_the_tables_are_those_that_libjpeg_writes(quality: int) -> None:
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG", quality=quality)
    image = cast(JpegImagePlugin.JpegImageFile, Image.open(file))
    for number, chroma in enumerate((False, True)):
        ours = quantisation(quality, chroma=chroma).flatten().tolist()
        assert ours == list(image.quantization[number])


@pytest.mark.parametrize("quality", LIMITS)
@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("size", SIZES)
def test_photographs_come_out_nearly_as_from_the_codec(
    size: tuple[int, int], channels: int, quality: int
) -> None:
    x = photographs(*size, channels)
    soft, real = soft_jpeg(x, quality), jpeg_round_trip(x, quality)
    assert soft.shape == x.shape
    assert soft.dtype == x.dtype
    assert 0 <= soft.amin().item() <= soft.amax().item() <= 1
    error = (soft - real).abs() * 255
    mean, largest = LIMITS[quality]
    assert error.mean().item() < mean
    assert error.max().item() < largest


def test_it_is_much_closer_to_the_codec_than_the_identity_is() -> None:
    x = photographs(64, 64)
    for quality in LIMITS:
        real = jpeg_round_trip(x, quality)
        lost = (x - real).square().mean()
        assert (soft_jpeg(x, quality) - real).square().mean() < 0.3 * lost


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("size", [(16, 16), (9, 19)])
def test_the_gradient_is_that_of_finite_differences(size: tuple[int, int], channels: int) -> None:
    # Within the range, and off the whole steps, where a smooth rounding bends.
    x = (0.2 + 0.6 * photographs(*size, channels)[:1]).double().requires_grad_()

    def change(images: Tensor) -> Tensor:
        return soft_jpeg(images, 75)

    assert torch.autograd.gradcheck(change, x, eps=1e-6, atol=1e-5, fast_mode=True)


@pytest.mark.parametrize("quality", [1, 75, 95])
@pytest.mark.parametrize("channels", [3, 1])
def test_every_image_of_a_batch_has_a_gradient_of_its_own(quality: int, channels: int) -> None:
    x = photographs(33, 47, channels).requires_grad_()
    weight = torch.rand(x.shape, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad((soft_jpeg(x, quality) * weight).sum(), x)
    assert gradient.shape == x.shape
    assert torch.isfinite(gradient).all()
    assert gradient.flatten(1).norm(dim=1).min() > 0.1
    (first,) = torch.autograd.grad((soft_jpeg(x, quality)[0] * weight[0]).sum(), x)
    torch.testing.assert_close(first[0], gradient[0], atol=1e-5, rtol=1e-4)
    assert not first[1:].any()


def test_the_gradient_leaves_out_what_the_codec_wipes_out() -> None:
    # A faint pattern of single pixels on grey: the codec gives flat grey back.
    pattern = (torch.arange(16)[:, None] + torch.arange(16)) % 2 - 0.5
    faint = 0.5 + 0.01 * pattern.expand(1, 1, 16, 16)
    assert jpeg_round_trip(faint, 75).unique().numel() == 1
    x = faint.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((soft_jpeg(x, 75) * pattern).sum(), x)
    assert gradient.norm() < 0.1 * pattern.norm()  # that of the identity is the pattern


def test_rounding_is_smooth_between_whole_numbers_and_exact_on_them() -> None:
    whole = torch.arange(-3.0, 4.0)
    assert torch.equal(smooth_round(whole), whole)
    x = torch.linspace(-3, 3, 1001)
    assert (smooth_round(x) - x.round()).abs().max() <= 1 / 8
    assert (smooth_round(x).diff() >= 0).float().mean() == 1


@pytest.mark.parametrize("size", [(26, 26), (30, 30), (28, 40), (40, 28)])
def test_the_edge_is_as_near_to_the_codec_as_the_middle(size: tuple[int, int]) -> None:
    # Strong colours: where chroma is padded before it is halved, and where after, shows.
    x = torch.rand(8, 3, *size, generator=torch.Generator().manual_seed(0))
    error = (soft_jpeg(x, 75) - jpeg_round_trip(x, 75)).abs()
    for edge in (error[..., -4:], error[..., -4:, :]):
        assert edge.mean() < 1.2 * error[..., 4:-4, 4:-4].mean()
