"""Wavelet denoising."""

from torch import Tensor

from superdef_bench import InputTransform, hookimpl
from superdef_bench.nn import wavelet_denoise


class WaveletDenoise(InputTransform):
    """BayesShrink soft thresholding in YCbCr: the first stage of Mustafa et al. (2020).

    Args:
        sigma: Standard deviation of the noise in RGB units on [0, 1], the convention of
            scikit-image since 0.16. Mustafa et al. give 0.04.
        wavelet: Name of an orthogonal wavelet; `db1` is Haar.
        levels: Decomposition levels; 0 for three fewer than fit, which is 2 at 32 pixels.
    """

    def __init__(self, *, sigma: float = 0.04, wavelet: str = "db1", levels: int = 0) -> None:
        import pywt

        super().__init__()
        if sigma <= 0:
            raise ValueError(f"sigma is {sigma}, take a number above 0")
        if wavelet not in pywt.wavelist(kind="discrete") or not pywt.Wavelet(wavelet).orthogonal:
            raise ValueError(f"wavelet is {wavelet!r}, take an orthogonal one such as db1 or sym4")
        if levels < 0:
            raise ValueError(f"levels is {levels}, take 0 or more")
        self.sigma, self.wavelet, self.levels = sigma, wavelet, levels or None

    def transform(self, x: Tensor) -> Tensor:
        return wavelet_denoise(x, sigma=self.sigma, wavelet=self.wavelet, levels=self.levels)


@hookimpl
def register_defenses() -> dict[str, type[WaveletDenoise]]:
    return {"wavelet": WaveletDenoise}
