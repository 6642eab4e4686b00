"""Pixel deflection."""

import torch
from torch import Tensor

from superdef_bench import InputTransform, Random, hookimpl
from superdef_bench.nn import wavelet_denoise


class PixelDeflection(InputTransform):
    """Replace random pixels by neighbours, then denoise by wavelets (Prakash et al., CVPR 2018).

    Each deflection takes a pixel, every one equally likely, and puts another in its place, with
    all channels: one from the square around it, within the image. All are read from the image
    that came in; of two that meet, the later one stays. Denoising is the paper's: BayesShrink with
    soft thresholds on Haar coefficients in YCbCr, see `wavelet`.

    There is no class activation map, by which the paper spares pixels that the classifier looks
    at: a transform has no classifier to ask. The released code replaces single channels, in place,
    and counts those: its 200 change a third as many values as these.

    The number of deflections is the paper's for 299x299. It does not shrink with the image: at
    32x32 it is a fifth of the pixels. The gradient is exact: deflections move values, and wavelets
    have a gradient.

    Args:
        deflections: Deflections per image.
        window: How far off a pixel is looked for, in each direction.
        sigma: Standard deviation of the noise that wavelets take out, as in `wavelet`.
    """

    stochastic = True

    def __init__(self, *, deflections: int = 200, window: int = 10, sigma: float = 0.04) -> None:
        super().__init__()
        if deflections < 1:
            raise ValueError(f"deflections is {deflections}, take 1 or more")
        if window < 1:
            raise ValueError(f"window is {window}, take 1 or more")
        if sigma <= 0:
            raise ValueError(f"sigma is {sigma}, take a number above 0")
        self.deflections, self.window, self.sigma = deflections, window, sigma

    def transform(self, x: Tensor, *, random: Random) -> Tensor:
        height, width = x.shape[-2:]
        row, from_row = self._places(height, random)
        column, from_column = self._places(width, random)
        place, source = row * width + column, from_row * width + from_column  # (N, deflections)
        # Several may write to one place: a number that only grows says which is the last.
        numbers = torch.arange(self.deflections, device=x.device).expand_as(place)
        untouched = torch.full((len(x), height * width), -1, device=x.device)
        last = untouched.scatter_reduce(1, place, numbers, "amax")
        stays = torch.arange(height * width, device=x.device)
        reads = torch.where(last < 0, stays, source.gather(1, last.clamp_min(0)))
        deflected = x.flatten(2).gather(2, reads[:, None].expand(-1, x.shape[1], -1))
        return wavelet_denoise(deflected.view_as(x), sigma=self.sigma)

    def _places(self, side: int, random: Random) -> tuple[Tensor, Tensor]:
        """Return places along one side, and one within the window of each, `(N, deflections)`."""
        place = random.integers(0, side, self.deflections)
        first = (place - self.window).clamp_min(0)
        choices = (place + self.window).clamp_max(side - 1) - first + 1
        return place, first + ((random.bits(self.deflections) * choices) >> 32)


@hookimpl
def register_defenses() -> dict[str, type[PixelDeflection]]:
    return {"pixel_deflection": PixelDeflection}
