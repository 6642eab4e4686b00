"""The faces of twenty traffic signs, drawn with strokes and polygons into RGBA textures.

Shapes are signed distances in pixels of a plane with x to the right and y down, both in
[-1, 1]; a shape covers a pixel where its distance is negative.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Layer = tuple[Array, tuple[float, float, float]]

SIZE = 96
_AXIS = (np.arange(SIZE) + 0.5) * (2.0 / SIZE) - 1.0
_Y, _X = np.meshgrid(_AXIS, _AXIS, indexing="ij")
_PIXEL = 2.0 / SIZE

RED, BLUE, YELLOW = (0.78, 0.08, 0.12), (0.05, 0.25, 0.65), (0.98, 0.80, 0.08)
WHITE, BLACK, GREY = (0.96, 0.96, 0.94), (0.06, 0.06, 0.07), (0.45, 0.45, 0.46)


def disc(radius: float, x: float = 0.0, y: float = 0.0) -> Array:
    return np.hypot(_X - x, _Y - y) - radius


def polygon(corners: list[tuple[float, float]]) -> Array:
    """Return the distance to a convex polygon whose corners run clockwise on the screen."""
    distance = np.full_like(_X, -np.inf)
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        length = np.hypot(x1 - x0, y1 - y0)
        side = ((y1 - y0) * (_X - x0) - (x1 - x0) * (_Y - y0)) / length
        distance = np.maximum(distance, side)
    return distance


def regular(corners: int, radius: float, turn: float = 0.0) -> Array:
    angles = 2 * np.pi * (np.arange(corners) / corners) + turn
    return polygon([(radius * float(np.sin(a)), -radius * float(np.cos(a))) for a in angles])


def box(width: float, height: float, x: float = 0.0, y: float = 0.0) -> Array:
    return np.maximum(np.abs(_X - x) - width, np.abs(_Y - y) - height)


def stroke(points: list[tuple[float, float]], width: float) -> Array:
    """Return the distance to a line through `points` that is `width` thick."""
    distance = np.full_like(_X, np.inf)
    for (x0, y0), (x1, y1) in pairwise(points):
        dx, dy = x1 - x0, y1 - y0
        along = ((_X - x0) * dx + (_Y - y0) * dy) / (dx * dx + dy * dy + 1e-12)
        along = np.clip(along, 0.0, 1.0)
        distance = np.minimum(distance, np.hypot(_X - x0 - along * dx, _Y - y0 - along * dy))
    return distance - width / 2


def arc(
    x: float, y: float, rx: float, ry: float, start: float, stop: float
) -> list[tuple[float, float]]:
    """Return points on an ellipse; angles in degrees, 0 to the right, growing clockwise."""
    angles = np.radians(np.linspace(start, stop, 13))
    return [(x + rx * float(np.cos(a)), y + ry * float(np.sin(a))) for a in angles]


# Each glyph is one line in a cell with x in [-1, 1] and y in [-1, 1].
_GLYPHS = {
    "0": arc(0, 0, 0.75, 1.0, -90, 270),
    "1": [(-0.5, -0.6), (0.15, -1.0), (0.15, 1.0)],
    "2": [*arc(0, -0.45, 0.7, 0.55, -170, 35), (-0.75, 1.0), (0.8, 1.0)],
    "3": [*arc(0, -0.5, 0.65, 0.5, -160, 90), *arc(0, 0.5, 0.75, 0.5, -90, 160)],
    "5": [(0.7, -1.0), (-0.5, -1.0), (-0.6, -0.1), *arc(0, 0.4, 0.75, 0.6, -120, 150)],
    "6": [*arc(0.1, 0, 0.85, 1.0, -50, -180), *arc(0, 0.4, 0.75, 0.6, 180, 540)],
    "8": [*arc(0, -0.5, 0.6, 0.5, 90, 450), *arc(0, 0.5, 0.75, 0.5, -90, 270)],
    "S": [*arc(0, -0.5, 0.7, 0.5, -20, -270), *arc(0, 0.5, 0.7, 0.5, -90, 160)],
    "T": [(-0.8, -1.0), (0.8, -1.0), (0.0, -1.0), (0.0, 1.0)],
    "P": [(-0.6, 1.0), (-0.6, -1.0), *arc(0.0, -0.45, 0.7, 0.55, -90, 90), (-0.6, 0.1)],
}
_GLYPHS["O"] = _GLYPHS["0"]


def lettering(text: str, cell: float, height: float, width: float) -> Array:
    """Return the distance to a line of text in the middle of the sign."""
    distance = np.full_like(_X, np.inf)
    for place, glyph in enumerate(text):
        x = (place - (len(text) - 1) / 2) * cell * 2.5
        points = [(x + cell * px, height * py) for px, py in _GLYPHS[glyph]]
        distance = np.minimum(distance, stroke(points, width))
    return distance


def arrow(points: list[tuple[float, float]], head: float = 0.3) -> Array:
    """Return the distance to an arrow whose head sits at the last point."""
    (x0, y0), (x1, y1) = points[-2:]
    length = float(np.hypot(x1 - x0, y1 - y0))
    ux, uy = (x1 - x0) / length, (y1 - y0) / length
    wings = [(x1 + head * (s * uy - ux), y1 - head * (uy + s * ux)) for s in (1, -1)]
    return np.minimum(stroke(points, 0.18), stroke([wings[0], (x1, y1), wings[1]], 0.16))


def _prohibition(*inside: Layer) -> list[Layer]:
    return [(disc(0.95), RED), (disc(0.72), WHITE), *inside]


def _order(*arrows: Array) -> list[Layer]:
    return [(disc(0.95), WHITE), (disc(0.89), BLUE), *[(a, WHITE) for a in arrows]]


def _warning(*inside: Array) -> list[Layer]:
    outer = [(0.0, -0.95), (0.95, 0.80), (-0.95, 0.80)]
    inner = [(0.0, -0.61), (0.62, 0.60), (-0.62, 0.60)]
    return [(polygon(outer), RED), (polygon(inner), WHITE), *[(i, BLACK) for i in inside]]


def _limit(text: str) -> list[Layer]:
    cell, width = (0.225, 0.13) if len(text) == 2 else (0.16, 0.11)
    return _prohibition((lettering(text, cell, 0.36, width), BLACK))


def _layers() -> dict[str, list[Layer]]:
    limits = {f"limit_{n}": _limit(n) for n in ("20", "30", "50", "60", "80", "100", "120")}
    yield_corners = [(-0.95, -0.80), (0.95, -0.80), (0.0, 0.95)]
    yield_inside = [(-0.58, -0.58), (0.58, -0.58), (0.0, 0.48)]
    falling = [(-0.42, -0.42), (0.42, 0.42)]
    rising = [(-0.42, 0.42), (0.42, -0.42)]
    bars = [[(-0.6 + s, 0.6 + s), (0.6 + s, -0.6 + s)] for s in (-0.14, 0.0, 0.14)]
    turns = [arc(0, 0, 0.5, 0.5, start, start + 85) for start in (-100, 20, 140)]
    bend = [(-0.15, 0.5), (-0.15, 0.2), (0.15, 0.05), (0.1, -0.2)]
    return limits | {
        "stop": [
            (regular(8, 0.98, np.pi / 8), WHITE),
            (regular(8, 0.90, np.pi / 8), RED),
            (lettering("STOP", 0.15, 0.25, 0.1), WHITE),
        ],
        "yield": [(polygon(yield_corners), RED), (polygon(yield_inside), WHITE)],
        "no_entry": [(disc(0.95), RED), (box(0.65, 0.17), WHITE)],
        "no_vehicles": _prohibition(),
        "no_stopping": [
            (disc(0.95), RED),
            (disc(0.72), BLUE),
            (stroke(falling, 0.14), RED),
            (stroke(rising, 0.14), RED),
        ],
        "priority": [(regular(4, 1.0), WHITE), (regular(4, 0.82), YELLOW)],
        "end_of_limits": [
            (disc(0.95), GREY),
            (disc(0.88), WHITE),
            *[(stroke(bar, 0.07), BLACK) for bar in bars],
        ],
        "turn_left": _order(arrow([(0.3, 0.5), (0.3, -0.1), (-0.5, -0.1)])),
        "turn_right": _order(arrow([(-0.3, 0.5), (-0.3, -0.1), (0.5, -0.1)])),
        "straight_on": _order(arrow([(0.0, 0.6), (0.0, -0.6)])),
        "roundabout": _order(*[arrow(turn, head=0.18) for turn in turns]),
        "danger": _warning(stroke([(0, -0.2), (0, 0.2)], 0.16), disc(0.1, 0, 0.42)),
        "bend": _warning(stroke(bend, 0.14)),
    }


def draw() -> tuple[list[str], NDArray[np.float32]]:
    """Return the class names and their textures, float32 `(classes, SIZE, SIZE, 4)` in [0, 1]."""
    layers = _layers()
    textures = np.zeros((len(layers), SIZE, SIZE, 4))
    for texture, parts in zip(textures, layers.values(), strict=True):
        for distance, colour in parts:
            cover = np.clip(0.5 - distance / _PIXEL, 0.0, 1.0)[..., None]
            texture *= 1.0 - cover
            texture += cover * np.array([*colour, 1.0])
    return list(layers), textures.astype(np.float32)
