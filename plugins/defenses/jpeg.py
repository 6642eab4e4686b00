"""JPEG compression."""

from torch import Tensor

from superdef_bench import InputTransform, hookimpl
from superdef_bench.nn import jpeg_round_trip


class Jpeg(InputTransform):
    """JPEG compression and decompression (Das et al., 2017; Guo et al., ICLR 2018).

    The real codec, image by image: rounding has no gradient, so attacks that know it go back
    straight through.

    Args:
        quality: 1 (worst) to 95.
    """

    differentiable = False
    # Blocks of 16 pixels, of chroma at half the size; on the way back they see their neighbours.
    reach, align = 16, 16

    def __init__(self, *, quality: int = 75) -> None:
        super().__init__()
        if not 1 <= quality <= 95:
            raise ValueError(f"quality is {quality}, take 1 to 95")
        self.quality = quality

    def transform(self, x: Tensor) -> Tensor:
        return jpeg_round_trip(x, self.quality)


@hookimpl
def register_defenses() -> dict[str, type[Jpeg]]:
    return {"jpeg": Jpeg}
