"""The first super-resolution defense: wavelet denoising, then EDSR."""

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from superdef_bench import hookimpl
from superdef_bench.nn import (
    Dtype,
    Output,
    SuperResolution,
    jpeg_round_trip,
    load_network,
    soft_jpeg,
    unusual_size,
    wavelet_denoise,
)

_Preset = Literal["paper", "repo"]
_Stages = Literal["both", "wavelet", "sr"]


@dataclass(frozen=True)
class _Settings:
    sigma: float
    jpeg: int
    eightbit: bool


_PRESETS = {"paper": _Settings(0.04, 0, False), "repo": _Settings(0.01, 95, True)}


class Mustafa(SuperResolution):
    """Wavelet denoising and EDSR enlargement (Mustafa et al., IEEE TIP 2020).

    BayesShrink with soft thresholds on Haar coefficients in YCbCr, clipped to [0, 1]; EDSR x2,
    clipped; the classifier sees the enlarged image, since the paper does not resize it back.
    The preset `paper` is what the paper says. `repo` is what the released scripts do: a weaker
    denoiser, a JPEG file between the two stages, of which the paper says nothing, and rounding
    to 8 bits behind EDSR. The quality of that file is not stated in the repository: 95 is what
    matplotlib wrote by default at that time, as far as we remember; 75 is the other candidate.

    JPEG and rounding have no gradient. With either, attacks that know the defense go back
    through a JPEG that rounds smoothly, straight through the last rounding, and exactly through
    all others.

    Args:
        preset: Gives `sigma`, `jpeg` and `eightbit` where they are none.
        stages: `both`, or one alone: `wavelet` keeps the size of the image. The JPEG stays
            where it is, the rounding comes last.
        sigma: Standard deviation of the noise in RGB units on [0, 1], the convention of
            scikit-image since 0.16, which is not that of the scripts' time.
        jpeg: Quality of the JPEG between the stages, 1 (worst) to 95; 0 for no JPEG.
        backward: What the backward pass has in place of that JPEG: `smooth`, the stronger
            attack, or `identity`, as in the defense `jpeg`.
        eightbit: Round the result to 8 bits.
        levels: Wavelet levels; 0 for three fewer than fit: 2 at 32 pixels, 4 at 224, 5 at 299.
        scale: 2, 3 or 4; the paper takes 2.
        output: What becomes of the new size; `resize_back` is another method than the paper's.
        weights: Of EDSR; if empty, the shipped ones.
        tile: Side in pixels of the tiles that EDSR restores an image in; 0 for the whole.
        self_ensemble: Take EDSR's mean over the eight flips and turns.
        dtype: What EDSR computes in.
    """

    def __init__(
        self,
        *,
        preset: _Preset = "paper",
        stages: _Stages = "both",
        sigma: float | None = None,
        jpeg: int | None = None,
        backward: Literal["smooth", "identity"] = "smooth",
        eightbit: bool | None = None,
        levels: int = 0,
        scale: int = 2,
        output: Output = "native",
        weights: str = "",
        tile: int = 0,
        self_ensemble: bool = False,
        dtype: Dtype = "float32",
    ) -> None:
        if preset not in _PRESETS:
            raise ValueError(f"preset is {preset!r}, take paper or repo")
        if stages not in ("both", "wavelet", "sr"):
            raise ValueError(f"stages is {stages!r}, take both, wavelet or sr")
        if levels < 0:
            raise ValueError(f"levels is {levels}, take 0 or more")
        if jpeg is not None and not 0 <= jpeg <= 95:
            raise ValueError(f"jpeg is {jpeg}, take 1 to 95, or 0 for none")
        if backward not in ("smooth", "identity"):
            raise ValueError(f"backward is {backward!r}, take smooth or identity")
        if stages == "wavelet" and output == "resize_back":
            raise ValueError("stages = 'wavelet' keeps the size, leave output out")
        usual = _PRESETS[preset]
        network: nn.Module = nn.Identity()
        self.qualifier = ""
        if stages != "wavelet":
            network = load_network("edsr", scale=scale, weights=weights)
            size = unusual_size(network)
            self.qualifier = f"EDSR {size}" if size else ""
        super().__init__(
            network,
            output=output,
            denoise="none" if stages == "sr" else "wavelet",
            sigma=usual.sigma if sigma is None else sigma,
            tile=tile,
            self_ensemble=self_ensemble,
            dtype=dtype,
        )
        self.stages, self.levels, self.backward = stages, levels, backward
        self.jpeg = usual.jpeg if jpeg is None else jpeg
        self.eightbit = usual.eightbit if eightbit is None else eightbit
        self.differentiable = not (self.jpeg or self.eightbit)
        if self.jpeg:
            self.reach = None  # its blocks stand between two other stages

    def transform(self, x: Tensor) -> Tensor:
        if self.denoise == "wavelet":
            x = wavelet_denoise(x, sigma=self.sigma, levels=self.levels or None)
        if self.jpeg:
            goes_back = self.backward == "smooth" and x.requires_grad
            stand_in = soft_jpeg(x, self.jpeg) if goes_back else x
            x = _straight_through(jpeg_round_trip(x, self.jpeg), stand_in)
        if self.stages != "wavelet":
            x = self.enlarge(x)
        return _straight_through((x * 255).round() / 255, x) if self.eightbit else x

    def bpda_surrogate(self, x: Tensor, *args: Any, **arguments: Any) -> Tensor:
        """Go back exactly where that is not what the exact gradient does already."""
        return super().bpda_surrogate(x) if self.differentiable else self.transform(x)


def _straight_through(exact: Tensor, x: Tensor) -> Tensor:
    """Return the values of `exact` with the gradient of `x`."""
    return exact.detach() + (x - x.detach())


@hookimpl
def register_defenses() -> dict[str, type[Mustafa]]:
    return {"mustafa": Mustafa}
