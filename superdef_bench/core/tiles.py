"""A large image through a transform, tile by tile: what it gives is what the whole would."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from superdef_bench.core.errors import PluginError
from superdef_bench.core.transform import InputTransform

_RESIZED = 3  # pixels that a bicubic way back to the input's size sees


@dataclass(frozen=True)
class Tile:
    """A part of an image, and what it is cut out with.

    Attributes:
        own: Left, top, right and bottom of what it contributes, in pixels of the input.
        seen: The same of what its transform sees.
    """

    own: tuple[int, int, int, int]
    seen: tuple[int, int, int, int]

    def keep(self, out: Tensor, scale: int) -> Tensor:
        """Return the part of an output `(N, C, scale h, scale w)` that the tile contributes."""
        left, top, right, bottom = (
            scale * (edge - start)
            for edge, start in zip(self.own, (*self.seen[:2], *self.seen[:2]), strict=True)
        )
        return out[..., top:bottom, left:right]


def overlap_of(transform: InputTransform) -> int | None:
    """Return the pixels around a tile that its transform has to see; None where it needs all."""
    if transform.reach is None or transform.stochastic:  # draws belong to the whole image
        return None
    back = _RESIZED if transform.output == "resize_back" else 0
    return -(-(transform.reach + back) // transform.align) * transform.align


def bands(
    width: int, height: int, *, side: int, overlap: int, align: int = 1
) -> Iterator[list[Tile]]:
    """Yield the tiles of an image, row by row.

    Args:
        width: Of the image.
        height: Of the image.
        side: Of what a tile contributes; cut down to a multiple of `align`.
        overlap: Pixels around it that are seen, a multiple of `align`.
        align: Each tile starts at a multiple of it.
    """
    step = max(side // align, 1) * align
    for top in range(0, height, step):
        yield [
            Tile(
                own=(left, top, min(left + step, width), min(top + step, height)),
                seen=(
                    max(left - overlap, 0),
                    max(top - overlap, 0),
                    min(left + step + overlap, width),
                    min(top + step + overlap, height),
                ),
            )
            for left in range(0, width, step)
        ]


def scale_of(owner: str, x: Tensor, out: Tensor) -> int:
    """Return by how much a transform with a reach enlarged a tile.

    Raises:
        PluginError: Not by a whole number, so that tiles do not fit together.
    """
    scale = out.shape[-1] // x.shape[-1]
    if scale < 1 or out.shape[-2:] != (scale * x.shape[-2], scale * x.shape[-1]):
        raise PluginError(
            f"{owner} made {out.shape[-1]}x{out.shape[-2]} pixels of a tile of "
            f"{x.shape[-1]}x{x.shape[-2]}",
            hint="a transform that sets reach returns a whole multiple of the input's size",
        )
    return scale
