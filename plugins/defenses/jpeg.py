"""JPEG compression."""

from typing import Any, Literal

from torch import Tensor

from superdef_bench import InputTransform, hookimpl
from superdef_bench.nn import jpeg_round_trip, soft_jpeg


class Jpeg(InputTransform):
    """JPEG compression and decompression (Das et al., 2017; Guo et al., ICLR 2018).

    The real codec, image by image: rounding has no gradient, so attacks that know it go back
    through a stand-in.

    Args:
        quality: 1 (worst) to 95.
        backward: That stand-in. `smooth`, the stronger attack wherever it was measured
            (docs/threat-models.md): a JPEG that rounds with a gradient (Shin and Song, 2017).
            `identity`: straight through, as if there were no JPEG.
    """

    differentiable = False
    # Blocks of 16 pixels, of chroma at half the size; on the way back they see their neighbours.
    reach, align = 16, 16

    def __init__(
        self, *, quality: int = 75, backward: Literal["smooth", "identity"] = "smooth"
    ) -> None:
        super().__init__()
        if not 1 <= quality <= 95:
            raise ValueError(f"quality is {quality}, take 1 to 95")
        if backward not in ("smooth", "identity"):
            raise ValueError(f"backward is {backward!r}, take smooth or identity")
        self.quality, self.backward = quality, backward

    def transform(self, x: Tensor) -> Tensor:
        return jpeg_round_trip(x, self.quality)

    def bpda_surrogate(self, x: Tensor, *args: Any, **arguments: Any) -> Tensor:
        """Return what goes back in place of the codec."""
        return soft_jpeg(x, self.quality) if self.backward == "smooth" else x


@hookimpl
def register_defenses() -> dict[str, type[Jpeg]]:
    return {"jpeg": Jpeg}
