"""Fidelity of an image to a reference, per image."""

import torch
from torch import Tensor
from torch.nn import functional

# ITU-R BT.601 luma of RGB in [0, 1], in units of the full 8-bit range.
LUMA = (65.481 / 255, 128.553 / 255, 24.966 / 255)

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2


def psnr(x: Tensor, reference: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio in dB, `(N,)`, of images in [0, 1]; inf if equal."""
    error = (x - reference).square().flatten(1).mean(dim=1)
    return -10.0 * torch.log10(error)


def luma(x: Tensor) -> Tensor:
    """Return the luma `(N, 1, H, W)` of images in [0, 1]: of RGB (BT.601) 16/255 to 235/255.

    Images of one channel stay as they are, which published numbers on Set14 count on.
    """
    if x.shape[1] == 1:
        return x
    weights = torch.tensor(LUMA, dtype=x.dtype, device=x.device)
    return (torch.einsum("c,nchw->nhw", weights, x) + 16 / 255)[:, None]


def psnr_y(x: Tensor, reference: Tensor, border: int) -> Tensor:
    """Return the PSNR in dB, `(N,)`, as papers on super-resolution report it.

    On luma, of images rounded to 8 bits, without `border` pixels on each side; by custom as many
    as the scale.
    """
    inner = slice(border, -border or None)
    planes = [luma((y * 255).round().clamp(0, 255) / 255) for y in (x, reference)]
    first, second = (plane[..., inner, inner] for plane in planes)
    return psnr(first, second)


def ssim(x: Tensor, reference: Tensor) -> Tensor:
    """Return the structural similarity, `(N,)`, of images `(N, C, H, W)` in [0, 1].

    Wang et al., IEEE TIP 2004: Gaussian window of 11 pixels and sigma 1.5, mean over channels
    and over the windows that fit. NaN for images smaller than the window.
    """
    n, _, height, width = x.shape
    if min(height, width) < _WINDOW:
        return torch.full((n,), torch.nan, device=x.device)
    places = torch.arange(_WINDOW, device=x.device, dtype=x.dtype) - _WINDOW // 2
    taps = torch.exp(-places.square() / (2 * _SIGMA**2))
    taps = taps / taps.sum()

    def smooth(planes: Tensor) -> Tensor:
        # Planes as channels: a depthwise convolution is far faster than a batch of single ones.
        count = len(planes)
        rows = taps.view(1, 1, -1, 1).expand(count, 1, -1, 1)
        columns = taps.view(1, 1, 1, -1).expand(count, 1, 1, -1)
        down = functional.conv2d(planes[None], rows, groups=count)
        return functional.conv2d(down, columns, groups=count)[0]

    a, b = x.reshape(-1, height, width), reference.reshape(-1, height, width)
    stacked = smooth(torch.cat([a, b, a * a, b * b, a * b]))  # (5 * N * C, H', W')
    mean_a, mean_b, aa, bb, ab = stacked.chunk(5)
    variance_a, variance_b = aa - mean_a.square(), bb - mean_b.square()
    covariance = ab - mean_a * mean_b
    top = (2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)
    bottom = (mean_a.square() + mean_b.square() + _C1) * (variance_a + variance_b + _C2)
    return (top / bottom).reshape(n, -1).mean(dim=1)
