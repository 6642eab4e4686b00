"""An image as a tensor, as a picture of 8 bits, and as a PNG."""

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def to_tensor(picture: Image.Image) -> Tensor:
    """Return a picture as `(1, C, H, W)` in [0, 1]."""
    pixels = np.atleast_3d(np.asarray(picture, dtype=np.float32))  # (H, W, C)
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous() / 255


def to_pixels(image: Tensor) -> np.ndarray:
    """Return `(C, H, W)` in [0, 1] as uint8 `(H, W, C)`."""
    return (image * 255).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()


def to_picture(image: Tensor) -> Image.Image:
    """Return `(C, H, W)` in [0, 1] as a picture of 8 bits."""
    pixels = to_pixels(image)
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def to_png(image: Tensor) -> bytes:
    """Return `(C, H, W)` in [0, 1] as a PNG of 8 bits."""
    file = io.BytesIO()
    to_picture(image).save(file, "PNG")
    return file.getvalue()
