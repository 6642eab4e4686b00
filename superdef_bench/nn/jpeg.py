"""JPEG compression by the real codec."""

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def jpeg_round_trip(x: Tensor, quality: int) -> Tensor:
    """Compress images and read them back, each on its own; the result has no gradient.

    Chroma is halved in both directions (4:2:0), the default of libjpeg and PIL.

    Args:
        x: Images `(N, C, H, W)` in [0, 1], of one or three channels.
        quality: 1 (worst) to 95.

    Returns:
        Images of the same shape, dtype and device, on the 8-bit grid.
    """
    pixels = (x * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    restored = np.stack([_compress(image, quality) for image in pixels])
    images = torch.from_numpy(restored).to(x.device)
    return images.permute(0, 3, 1, 2).to(x.dtype).contiguous() / 255


def _compress(pixels: np.ndarray, quality: int) -> np.ndarray:
    """Return what is left of one image `(H, W, C)`, uint8."""
    grey = pixels.shape[2] == 1
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if grey else pixels).save(file, "JPEG", quality=quality)
    restored = np.asarray(Image.open(file))
    return restored[..., None] if grey else restored
