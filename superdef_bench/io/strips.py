"""Images side by side, as a PNG."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from superdef_bench.core.visible import visible

GAIN = 10
_SIDE, _GAP, _LINE = 192, 8, 16
_PER_LINE = 4


@dataclass(frozen=True)
class Panels:
    """One row of a strip; images `(C, H, W)` in [0, 1].

    Attributes:
        clean: The image.
        adversarial: The example.
        defended: What the classifier saw of the example.
        defended_clean: What it would have seen of the image.
        words: What to write below.
    """

    clean: Tensor
    adversarial: Tensor
    defended: Tensor
    defended_clean: Tensor
    words: str

    def images(self) -> tuple[Tensor, ...]:
        """Return what is shown, left to right; differences around grey."""
        before = 0.5 + GAIN * (self.adversarial - self.clean)
        after = 0.5 + GAIN * (self.defended - self.defended_clean)
        return self.clean, self.adversarial, before, self.defended, after


def draw_strip(rows: Sequence[Panels]) -> bytes:
    """Return a PNG with one row per defense.

    Clean, adversarial, their difference, what the classifier saw of the example, and by how much
    that differs from what it would have seen of the clean image. Differences are shown `GAIN`
    times as large.
    """
    gain = f"difference x{GAIN}"
    titles = ("clean", "adversarial", gain, "what the classifier saw", f"{gain} in that")
    high = _SIDE + _LINE + _GAP
    width, height = len(titles) * (_SIDE + _GAP) + _GAP, _LINE + 2 * _GAP + len(rows) * high
    sheet = Image.new("RGB", (width, height), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for column, title in enumerate(titles):
        pen.text((_GAP + column * (_SIDE + _GAP), _GAP), visible(title), "black", font)
    for number, row in enumerate(rows):
        top = _LINE + 2 * _GAP + number * high
        for column, image in enumerate(row.images()):
            sheet.paste(_panel(image), (_GAP + column * (_SIDE + _GAP), top))
        pen.text((_GAP, top + _SIDE), visible(row.words), "black", font)
    return _png(sheet)


def draw_crops(crops: Sequence[tuple[Tensor, str]]) -> bytes:
    """Return a PNG of cut-outs `(C, H, W)` in [0, 1] side by side, each with words below."""
    lines = -(-len(crops) // _PER_LINE)
    per_line, high = -(-len(crops) // lines), _SIDE + _LINE + _GAP
    size = (per_line * (_SIDE + _GAP) + _GAP, lines * high + _GAP)
    sheet = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for number, (image, words) in enumerate(crops):
        line, column = divmod(number, per_line)
        left, top = _GAP + column * (_SIDE + _GAP), _GAP + line * high
        sheet.paste(_panel(image), (left, top))
        pen.text((left, top + _SIDE), visible(words), "black", font)
    return _png(sheet)


def _png(sheet: Image.Image) -> bytes:
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
