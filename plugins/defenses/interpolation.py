"""Enlargement by plain interpolation: the controls of every super-resolution defense."""

from typing import Literal

from torch import Tensor
from torch.nn import functional

from superdef_bench import InputTransform, hookimpl, resize

_Output = Literal["native", "resize_back"]


class _Enlarge(InputTransform):
    mode: str

    def __init__(self, *, scale: int = 2, output: _Output = "native") -> None:
        super().__init__()
        if scale < 1:
            raise ValueError(f"scale is {scale}, take a whole number from 1")
        if output not in ("native", "resize_back"):
            raise ValueError(f"output is {output!r}, take native or resize_back")
        self.scale, self.output = scale, output

    def transform(self, x: Tensor) -> Tensor:
        if self.mode == "bicubic":
            size = (self.scale * x.shape[-2], self.scale * x.shape[-1])
            return resize(x, size).clamp(0.0, 1.0)
        return functional.interpolate(x, scale_factor=self.scale, mode=self.mode)


class NearestX2(_Enlarge):
    """Nearest-neighbour enlargement.

    Mustafa et al. (IEEE TIP 2020) list it among their controls: most of the gray-box gain of a
    super-resolution defense is the change of scale.
    """

    mode = "nearest"


class BilinearX2(_Enlarge):
    """Bilinear enlargement."""

    mode = "bilinear"


class BicubicX2(_Enlarge):
    """Bicubic enlargement (a = -0.5), clipped to [0, 1]."""

    mode = "bicubic"


@hookimpl
def register_defenses() -> dict[str, type[_Enlarge]]:
    return {"nearest_x2": NearestX2, "bilinear_x2": BilinearX2, "bicubic_x2": BicubicX2}
