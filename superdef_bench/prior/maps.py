"""Street maps drawn by code, with what is text on them: to measure how well text is found."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from superdef_bench.core.errors import ConfigError

Colour = tuple[int, int, int]

_LEAST = 64  # pixels a side, for a street with a name
_DRAWN = 4  # times as large as it is shown, so that edges are smooth
_NAMES = ("Mill St", "Oak Road", "Park", "Station", "River Ln", "North Sq", "Hill", "Dock 4")
_GROUNDS = ((242, 239, 233), (231, 236, 224), (245, 240, 228))
_GREEN, _WATER, _HOUSE = (200, 225, 185), (170, 205, 225), (218, 208, 200)
_STREETS = ((255, 255, 255), (253, 214, 137), (248, 232, 160))
_DARK, _LIGHT = (40, 40, 48), (255, 255, 255)
_AERIAL = ((62, 84, 52), (78, 92, 60), (96, 90, 74), (52, 70, 60))


@dataclass(frozen=True)
class StreetMap:
    """A map and its text.

    Attributes:
        image: `(3, H, W)` in [0, 1].
        text: Pixels that letters cover by half or more, bool `(H, W)`.
    """

    image: Tensor
    text: Tensor


def draw_map(number: int, side: int = 128, *, aerial: bool = False) -> StreetMap:
    """Draw a map: ground, water, parks, houses, streets, and on top names.

    Args:
        number: Which one; the same number gives the same map.
        side: Pixels a side.
        aerial: Dark ground with grain and light names, in place of a plan with dark ones.

    Raises:
        ConfigError: `side` is below 64.
    """
    if side < _LEAST:
        raise ConfigError(f"a map of {side} pixels is too small", hint=f"take {_LEAST} or more")
    random = np.random.default_rng([number, side, aerial])
    large = side * _DRAWN
    canvas = Image.new("RGB", (large, large), _pick(random, _AERIAL if aerial else _GROUNDS))
    pencil = ImageDraw.Draw(canvas)
    for _ in range(random.integers(2, 5)):
        colours = _AERIAL if aerial else (_GREEN, _WATER)
        pencil.polygon(_blob(random, large), fill=_pick(random, colours))
    for _ in range(random.integers(10, 20)):
        x, y = (int(each) for each in random.integers(0, large, 2))
        w, h = (int(each) for each in random.integers(large // 40, large // 16, 2))
        colour = tuple(int(c) for c in random.integers(90, 170, 3)) if aerial else _HOUSE
        pencil.rectangle((x, y, x + w, y + h), fill=colour)
    for _ in range(random.integers(3, 6)):
        ends = random.integers(0, large, 4).tolist()
        if random.random() < 0.5:
            ends = [0, ends[1], large, ends[3]]
        width = int(random.integers(large // 50, large // 22))
        colour = (128, 126, 120) if aerial else _pick(random, _STREETS)
        pencil.line(ends, fill=colour, width=width)
    if aerial:
        canvas = _grained(canvas, random)
    letters = Image.new("L", canvas.size, 0)
    _write_names(ImageDraw.Draw(letters), random, large)
    canvas.paste(_LIGHT if aerial else _DARK, mask=letters)
    small = canvas.resize((side, side), Image.Resampling.BOX)
    image = torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1).float() / 255
    covered = np.asarray(letters.resize((side, side), Image.Resampling.BOX))
    return StreetMap(image, torch.from_numpy(covered >= 128))


def _pick(random: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    return colours[int(random.integers(len(colours)))]


def _blob(random: np.random.Generator, large: int) -> list[tuple[float, float]]:
    middle, size = random.integers(0, large, 2), random.uniform(large / 8, large / 3)
    turns = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    radii = size * random.uniform(0.6, 1.0, len(turns))
    places = middle + radii[:, None] * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    return [(float(x), float(y)) for x, y in places]


def _grained(canvas: Image.Image, random: np.random.Generator) -> Image.Image:
    grain = random.normal(0.0, 14.0, (canvas.height // _DRAWN, canvas.width // _DRAWN, 1))
    grain = grain.repeat(_DRAWN, axis=0).repeat(_DRAWN, axis=1)
    return Image.fromarray((np.asarray(canvas) + grain).clip(0, 255).astype(np.uint8))


def _write_names(pencil: ImageDraw.ImageDraw, random: np.random.Generator, large: int) -> None:
    """Write some names where none is yet."""
    taken: list[tuple[float, float, float, float]] = []
    for name in random.permutation(_NAMES)[: int(random.integers(4, 7))]:
        font = ImageFont.load_default(size=int(random.integers(large // 12, large // 9)))
        left, top, right, bottom = pencil.textbbox((0, 0), str(name), font=font)
        for _ in range(20):
            x = float(random.uniform(0, max(1, large - right)))
            y = float(random.uniform(0, max(1, large - bottom)))
            box = (x + left, y + top, x + right, y + bottom)
            if not any(_meet(box, other) for other in taken):
                taken.append(box)
                pencil.text((x, y), str(name), font=font, fill=255)
                break


def _meet(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
