"""Spatial smoothing: `gaussian_blur` and `median`."""

import torch
from torch import Tensor
from torch.nn import functional

from superdef_bench import InputTransform, hookimpl


class GaussianBlur(InputTransform):
    """Gaussian blur with reflected borders.

    Args:
        sigma: Standard deviation in pixels; the window reaches to three of them.
    """

    def __init__(self, *, sigma: float = 0.7) -> None:
        super().__init__()
        if sigma <= 0:
            raise ValueError(f"sigma is {sigma}, take a number above 0")
        radius = max(1, round(3 * sigma))
        taps = torch.exp(-(torch.arange(-radius, radius + 1.0) ** 2) / (2 * sigma**2))
        self.register_buffer("taps", taps / taps.sum())
        self.radius = self.reach = radius

    taps: Tensor

    def transform(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        rows = self.taps.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
        columns = self.taps.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
        padded = functional.pad(x, [self.radius] * 4, mode="reflect")
        blurred = functional.conv2d(padded, rows, groups=channels)
        return functional.conv2d(blurred, columns, groups=channels).clamp(0.0, 1.0)


class Median(InputTransform):
    """Median filter with reflected borders (Xu et al., NDSS 2018).

    Args:
        size: Odd width of the window in pixels.
    """

    def __init__(self, *, size: int = 3) -> None:
        super().__init__()
        if size < 1 or size % 2 == 0:
            raise ValueError(f"size is {size}, take an odd number from 1")
        self.size, self.reach = size, size // 2

    def transform(self, x: Tensor) -> Tensor:
        padded = functional.pad(x, [self.size // 2] * 4, mode="reflect")
        windows = padded.unfold(2, self.size, 1).unfold(3, self.size, 1)  # (N, C, H, W, k, k)
        return windows.flatten(-2).median(dim=-1).values


@hookimpl
def register_defenses() -> dict[str, type[InputTransform]]:
    return {"gaussian_blur": GaussianBlur, "median": Median}
