"""JPEG compression."""

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from superdef_bench import InputTransform, hookimpl


class Jpeg(InputTransform):
    """JPEG compression and decompression (Das et al., 2017; Guo et al., ICLR 2018).

    The real codec, image by image: rounding has no gradient, so attacks that know it go back
    straight through.

    Args:
        quality: 1 (worst) to 95.
    """

    differentiable = False

    def __init__(self, *, quality: int = 75) -> None:
        super().__init__()
        if not 1 <= quality <= 95:
            raise ValueError(f"quality is {quality}, take 1 to 95")
        self.quality = quality

    def transform(self, x: Tensor) -> Tensor:
        pixels = (x * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
        restored = np.stack([self._round_trip(image) for image in pixels])
        images = torch.from_numpy(restored).to(x.device)
        return images.permute(0, 3, 1, 2).to(x.dtype).contiguous() / 255

    def _round_trip(self, pixels: np.ndarray) -> np.ndarray:
        grey = pixels.shape[2] == 1
        file = io.BytesIO()
        Image.fromarray(pixels[..., 0] if grey else pixels).save(file, "JPEG", quality=self.quality)
        restored = np.asarray(Image.open(file))
        return restored[..., None] if grey else restored


@hookimpl
def register_defenses() -> dict[str, type[Jpeg]]:
    return {"jpeg": Jpeg}
