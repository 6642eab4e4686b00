"""Images side by side, as a PNG."""

import io
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

GAIN = 10
_SIDE, _GAP, _LINE = 192, 8, 16


def draw_strip(rows: Sequence[tuple[Tensor, Tensor, Tensor, str]]) -> bytes:
    """Return a PNG with one row per defense: clean, adversarial, difference and defended.

    The difference is shown `GAIN` times as large, around grey.

    Args:
        rows: Clean, adversarial and defended image, each `(C, H, W)` in [0, 1], and what to
            write below them.
    """
    titles = ("clean", "adversarial", f"difference x{GAIN}", "what the classifier saw")
    high = _SIDE + _LINE + _GAP
    width, height = 4 * (_SIDE + _GAP) + _GAP, _LINE + 2 * _GAP + len(rows) * high
    sheet = Image.new("RGB", (width, height), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for column, title in enumerate(titles):
        pen.text((_GAP + column * (_SIDE + _GAP), _GAP), title, "black", font)
    for number, (clean, adversarial, defended, words) in enumerate(rows):
        top = _LINE + 2 * _GAP + number * high
        difference = 0.5 + GAIN * (adversarial - clean)
        for column, image in enumerate((clean, adversarial, difference, defended)):
            sheet.paste(_panel(image), (_GAP + column * (_SIDE + _GAP), top))
        pen.text((_GAP, top + _SIDE), words, "black", font)
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def _panel(image: Tensor) -> Image.Image:
    """Return an image `(C, H, W)` as a square; small ones keep hard pixels."""
    pixels = (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    picture = Image.fromarray(
        pixels[..., 0] if pixels.shape[2] == 1 else np.ascontiguousarray(pixels)
    )
    small = max(picture.size) < _SIDE
    kernel = Image.Resampling.NEAREST if small else Image.Resampling.BICUBIC
    return picture.resize((_SIDE, _SIDE), kernel)
