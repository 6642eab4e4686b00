"""Stages of defenses that are no networks: wavelet denoising and JPEG."""

import io
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from superdef_bench.nn.quality import LUMA

# ITU-R BT.601 luma and chroma of RGB in [0, 1], in units of the full 8-bit range.
_FROM_RGB = (
    LUMA,
    (-37.797 / 255, -74.203 / 255, 112.0 / 255),
    (112.0 / 255, -93.786 / 255, -18.214 / 255),
)
_FLOOR = 1e-12
_ROUNDING = 1e-5  # restored values beyond [0, 1] by no more than this are on the border


def default_levels(height: int, width: int, wavelet: str) -> int:
    """Return three levels fewer than fit, at least 1: 2 for 32 pixels, 5 for 299 (Haar)."""
    import pywt

    return max(int(pywt.dwtn_max_level((height, width), wavelet)) - 3, 1)


def _shrink(details: Tensor, variance: Tensor) -> Tensor:
    """Soft-threshold a sub-band `(N, C, h, w)` whose noise has `variance` `(C, 1, 1)`."""
    signal = details.square().mean(dim=(-2, -1), keepdim=True) - variance
    threshold = variance / signal.clamp_min(_FLOOR).sqrt()
    return details.sign() * (details.abs() - threshold).clamp_min(0.0)


def _clip(x: Tensor) -> Tensor:
    """Clip to [0, 1]; the border has a gradient, and rounding does not put a value beyond it.

    White would come back as 1 plus the last bit, and lose the gradient that it has.
    """
    clipped = x.clamp(0.0, 1.0)
    beyond = (x - clipped).abs() > _ROUNDING
    return torch.where(beyond, clipped, x + (clipped - x).detach())


def wavelet_denoise(
    x: Tensor, *, sigma: float, wavelet: str = "db1", levels: int | None = None
) -> Tensor:
    """Denoise images by BayesShrink (Chang et al., IEEE TIP 2000), soft, in YCbCr.

    The noise level follows scikit-image since 0.16: `sigma` is in RGB units on [0, 1] and goes
    to luma and chroma through the colour matrix. Each image has its own thresholds.

    Args:
        x: Images `(N, C, H, W)` in [0, 1]; one channel is denoised as it is, three in YCbCr.
        sigma: Standard deviation of the noise.
        wavelet: Name of an orthogonal wavelet; `db1` is Haar.
        levels: Decomposition levels; by default three fewer than fit.

    Returns:
        Images of the same shape in [0, 1].
    """
    from ptwt.conv_transform_2 import wavedec2, waverec2

    height, width = x.shape[-2:]
    depth = default_levels(height, width, wavelet) if levels is None else levels
    colour = x.shape[1] == 3
    matrix = torch.tensor(_FROM_RGB if colour else ((1.0,),), dtype=x.dtype, device=x.device)
    planes = torch.einsum("kc,nchw->nkhw", matrix, x)
    variance = (sigma**2 * matrix.square().sum(dim=1)).view(-1, 1, 1)
    approximation, *bands = wavedec2(planes, wavelet, mode="symmetric", level=depth)
    shrunk = [tuple(_shrink(details, variance) for details in band) for band in bands]
    coefficients: Any = (approximation, *shrunk)
    restored = waverec2(coefficients, wavelet)[..., :height, :width]
    inverse = torch.linalg.inv(matrix.double()).to(x.dtype)
    return _clip(torch.einsum("ck,nkhw->nchw", inverse, restored))


def jpeg_round_trip(x: Tensor, quality: int) -> Tensor:
    """Compress images and read them back, each on its own; the result has no gradient.

    Chroma is halved in both directions (4:2:0), the default of libjpeg and PIL.

    Args:
        x: Images `(N, C, H, W)` in [0, 1], of one or three channels.
        quality: 1 (worst) to 95.

    Returns:
        Images of the same shape, dtype and device, on the 8-bit grid.
    """
    pixels = (x * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    restored = np.stack([_compress(image, quality) for image in pixels])
    images = torch.from_numpy(restored).to(x.device)
    return images.permute(0, 3, 1, 2).to(x.dtype).contiguous() / 255


def _compress(pixels: np.ndarray, quality: int) -> np.ndarray:
    """Return what is left of one image `(H, W, C)`, uint8."""
    grey = pixels.shape[2] == 1
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if grey else pixels).save(file, "JPEG", quality=quality)
    restored = np.asarray(Image.open(file))
    return restored[..., None] if grey else restored
