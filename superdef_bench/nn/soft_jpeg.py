"""JPEG with a gradient: the steps of the codec, its rounding replaced by a smooth one."""

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

_BLOCK = 8
_UNIT = 2 * _BLOCK  # pixels that a block of chroma covers at half the size
_LEVEL = 128.0  # half the range of 8 bits, which the codec subtracts before its transform

# ITU-T T.871 (JFIF): luma and the two chroma of RGB, over the full range.
_FROM_RGB = (
    (0.299, 0.587, 0.114),
    (-0.168735892, -0.331264108, 0.5),
    (0.5, -0.418687589, -0.081312411),
)
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136286, -0.714136286), (1.0, 1.772, 0.0))

# ITU-T T.81, Annex K.1: tables K.1 and K.2, which libjpeg scales by quality.
_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * _BLOCK,) * 4,
)


def quantisation(quality: int, *, chroma: bool) -> Tensor:
    """Return libjpeg's table `(8, 8)` of a quality from 1 to 100, float32, 1 to 255."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    table = torch.tensor(_CHROMA if chroma else _LUMA)
    return ((table * scale + 50) // 100).clamp(1, 255).float()


@cache
def _steps(quality: int, dtype: torch.dtype, device: torch.device, *, chroma: bool) -> Tensor:
    """Return the steps of quantisation, shaped for blocks `(..., 8, w, 8)`."""
    return quantisation(quality, chroma=chroma).to(device, dtype)[:, None, :]  # (8, 1, 8)


def smooth_round(x: Tensor) -> Tensor:
    """Round with a gradient: `round(x) + (x - round(x))^3`, off by at most 1/8."""
    nearest = x.round()
    return nearest + (x - nearest) ** 3


def soft_jpeg(x: Tensor, quality: int) -> Tensor:
    """Compress images and read them back, differentiably (Shin and Song, 2017).

    The steps of `jpeg_round_trip`: YCbCr, chroma halved in both directions, discrete cosine
    transform of blocks, libjpeg's tables, and back. Quantisation alone rounds, and does it
    smoothly. Its gradient is near 0 for a coefficient that a small change leaves where it is
    rounded to, most of all for fine details that quantisation wipes out, and grows towards the
    steps. Pixels are not rounded: those of clean images are whole numbers, where a smooth
    rounding has no gradient.

    Args:
        x: Images `(N, C, H, W)` in [0, 1], of one or three channels.
        quality: 1 (worst) to 95.

    Returns:
        Images of the same shape, dtype and device, in [0, 1].
    """
    height, width = x.shape[-2:]
    pixels = x * 255
    if x.shape[1] == 1:
        luma = _code(pixels - _LEVEL, quality, chroma=False)
        return (luma + _LEVEL).clamp(0, 255) / 255
    planes = torch.einsum("kc,nchw->nkhw", _matrix(_FROM_RGB, x), _padded(pixels, _UNIT))
    luma = _code(planes[:, :1, :height, :width] - _LEVEL, quality, chroma=False)
    # libjpeg repeats the last column before it halves chroma, and the last row after it.
    halves = functional.avg_pool2d(planes[:, 1:], 2)[..., : math.ceil(height / 2), :]
    halves = _code(halves, quality, chroma=True)[..., : math.ceil(width / 2)]
    # The codec's triangle filter, which does not look beyond the image's own chroma.
    whole = functional.interpolate(halves, scale_factor=2, mode="bilinear", align_corners=False)
    planes = torch.cat([luma + _LEVEL, whole[..., :height, :width]], dim=1)
    return torch.einsum("ck,nkhw->nchw", _matrix(_TO_RGB, x), planes).clamp(0, 255) / 255


def _code(planes: Tensor, quality: int, *, chroma: bool) -> Tensor:
    """Quantise planes `(N, C, h, w)` around 0 and return what is left, cut to 8 bits."""
    height, width = planes.shape[-2:]
    padded = _padded(planes, _BLOCK)
    blocks = padded.unflatten(-1, (-1, _BLOCK)).unflatten(-3, (-1, _BLOCK))  # (N, C, v, 8, h, 8)
    cosines = _cosines(planes.dtype, planes.device)
    table = _steps(quality, planes.dtype, planes.device, chroma=chroma)
    coefficients = torch.einsum("ui,ncviwj,tj->ncvuwt", cosines, blocks, cosines)
    kept = smooth_round(coefficients / table) * table
    restored = torch.einsum("ui,ncvuwt,tj->ncviwj", cosines, kept, cosines)
    restored = restored.flatten(-2).flatten(-3, -2)[..., :height, :width]
    return restored.clamp(-_LEVEL, 255 - _LEVEL)


def _padded(x: Tensor, side: int) -> Tensor:
    """Repeat the last row and column until both sides are multiples of `side`."""
    down, right = (-length % side for length in x.shape[-2:])
    return functional.pad(x, (0, right, 0, down), mode="replicate") if down or right else x


@cache
def _cosines(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the orthonormal cosines `(frequency, place)` of a block, computed in float64."""
    place = torch.arange(_BLOCK, dtype=torch.float64)
    angle = (2 * place[None, :] + 1) * place[:, None] * math.pi / (2 * _BLOCK)
    waves = angle.cos() * math.sqrt(2 / _BLOCK)
    waves[0] /= math.sqrt(2)
    return waves.to(device, dtype)


def _matrix(rows: tuple[tuple[float, ...], ...], x: Tensor) -> Tensor:
    return torch.tensor(rows, dtype=x.dtype, device=x.device)
