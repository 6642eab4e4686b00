"""Plain interpolation: the controls of every super-resolution defense.

`interpolation`, and by two: `nearest_x2`, `bilinear_x2`, `bicubic_x2`.
"""

from typing import Literal

from torch import Tensor
from torch.nn import functional

from superdef_bench import InputTransform, hookimpl, resize
from superdef_bench.nn import Output

_Mode = Literal["nearest", "bilinear", "bicubic"]
_Path = Literal["up", "up_down", "down_up"]


class Interpolation(InputTransform):
    """Enlargement, or a way there and back, by plain interpolation.

    Mustafa et al. (IEEE TIP 2020) list all nine among their controls. Bilinear and bicubic
    (a = -0.5) are antialiased when shrinking; results are clipped to [0, 1].

    Args:
        mode: `nearest`, `bilinear` or `bicubic`.
        path: `up` enlarges, `up_down` then shrinks back, `down_up` shrinks and then enlarges;
            both end at the size of the input.
        scale: Factor of each way.
        output: What becomes of a new size.
    """

    def __init__(
        self,
        *,
        mode: _Mode = "bicubic",
        path: _Path = "up",
        scale: int = 2,
        output: Output = "native",
    ) -> None:
        super().__init__()
        if mode not in ("nearest", "bilinear", "bicubic"):
            raise ValueError(f"mode is {mode!r}, take nearest, bilinear or bicubic")
        if path not in ("up", "up_down", "down_up"):
            raise ValueError(f"path is {path!r}, take up, up_down or down_up")
        if scale < 1:
            raise ValueError(f"scale is {scale}, take a whole number from 1")
        if output not in ("native", "resize_back"):
            raise ValueError(f"output is {output!r}, take native or resize_back")
        self.mode, self.path, self.scale, self.output = mode, path, scale, output
        # Bicubic sees two pixels and a half on each side, also when it shrinks by a whole number;
        # a size that is no multiple of the scale is shrunk by another number, unlike in a tile.
        self.reach = {"up": 3, "up_down": 6, "down_up": None}[path]

    def transform(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        large = (self.scale * height, self.scale * width)
        small = (max(height // self.scale, 1), max(width // self.scale, 1))
        sizes = {
            "up": [large],
            "up_down": [large, (height, width)],
            "down_up": [small, (height, width)],
        }
        for size in sizes[self.path]:
            x = self._resize(x, size)
        return x

    def _resize(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        if self.mode == "nearest":
            return functional.interpolate(x, size=size, mode="nearest-exact")
        if self.mode == "bilinear":
            return functional.interpolate(x, size=size, mode="bilinear", antialias=True)
        return resize(x, size).clamp(0.0, 1.0)


class NearestX2(Interpolation):
    """Nearest-neighbour enlargement.

    Most of the gray-box gain of a super-resolution defense is the change of scale.
    """

    def __init__(self, *, scale: int = 2, output: Output = "native") -> None:
        super().__init__(mode="nearest", scale=scale, output=output)


class BilinearX2(Interpolation):
    """Bilinear enlargement."""

    def __init__(self, *, scale: int = 2, output: Output = "native") -> None:
        super().__init__(mode="bilinear", scale=scale, output=output)


class BicubicX2(Interpolation):
    """Bicubic enlargement (a = -0.5), clipped to [0, 1]."""

    def __init__(self, *, scale: int = 2, output: Output = "native") -> None:
        super().__init__(mode="bicubic", scale=scale, output=output)


@hookimpl
def register_defenses() -> dict[str, type[Interpolation]]:
    return {
        "interpolation": Interpolation,
        "nearest_x2": NearestX2,
        "bilinear_x2": BilinearX2,
        "bicubic_x2": BicubicX2,
    }
