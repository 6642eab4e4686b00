"""Photographs of textures: pose, background, occlusion, light, blur and sensor noise.

Everything works on a batch at once, with one row of uniform numbers per image.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

PARAMETERS = 40
_SAMPLES = 2  # per pixel and axis


class Dice:
    """Hands out the uniform numbers of each image, column by column."""

    def __init__(self, unit: Array) -> None:
        self._columns = iter(unit.T)

    def uniform(self, low: float, high: float, *shape: int) -> Array:
        """Return `(N, *shape)` numbers in [low, high)."""
        count = int(np.prod(shape, dtype=int))
        columns = np.stack([next(self._columns) for _ in range(count)], axis=1)
        return np.asarray(low + (high - low) * columns, dtype=np.float32).reshape(-1, *shape)


def _grid(size: int) -> tuple[Array, Array]:
    axis = (np.arange(size, dtype=np.float32) + 0.5) * (2.0 / size) - 1.0
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return x[None], y[None]  # (1, S, S)


def _column(values: NDArray[Any]) -> Array:
    return values[:, None, None]  # (N,) -> (N, 1, 1)


def _pose(dice: Dice, size: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the plane coordinates of the sign that each sample sees, `(N, S, S)` twice."""
    x, y = _grid(size)
    shift = dice.uniform(-0.27, 0.27, 2)
    x, y = x - _column(shift[:, 0]), y - _column(shift[:, 1])
    tilt = dice.uniform(-0.28, 0.28, 2)
    depth = 1.0 + _column(tilt[:, 0]) * x + _column(tilt[:, 1]) * y
    angle = dice.uniform(-0.4, 0.4)
    radius, aspect = dice.uniform(0.5, 0.92), dice.uniform(0.85, 1.15)
    cos, sin = _column(np.cos(angle)), _column(np.sin(angle))
    stretch = np.sqrt(aspect, dtype=np.float32)
    across, down = _column(radius * stretch) * depth, _column(radius / stretch) * depth
    return (cos * x + sin * y) / across, (cos * y - sin * x) / down


def _background(dice: Dice, size: int) -> Array:
    """Return two blended colours, mixed by a slope and two plane waves, `(N, S, S, 3)`."""
    x, y = _grid(size)
    first, second = dice.uniform(0.05, 0.95, 3), dice.uniform(0.05, 0.95, 3)
    slope = dice.uniform(-0.4, 0.4, 2)
    mix = 0.5 + _column(slope[:, 0]) * x + _column(slope[:, 1]) * y
    for _ in range(2):
        wave, phase, height = dice.uniform(-14, 14, 2), dice.uniform(0, 6.283), dice.uniform(0, 0.4)
        arc = _column(wave[:, 0]) * x + _column(wave[:, 1]) * y + _column(phase)
        mix = mix + _column(height) * np.sin(arc)
    mix = np.clip(mix, 0.0, 1.0)[..., None]
    return first[:, None, None] * mix + second[:, None, None] * (1.0 - mix)


def _occlude(dice: Dice, picture: Array) -> Array:
    """Paint a bar (a branch, a pole) over half of the pictures."""
    x, y = _grid(picture.shape[1])
    present, angle = dice.uniform(0, 1) < 0.5, dice.uniform(0, 6.283)
    place, width = dice.uniform(-0.7, 0.7), dice.uniform(0.03, 0.13)
    distance = np.abs(_column(np.cos(angle)) * x + _column(np.sin(angle)) * y - _column(place))
    cover = (distance < _column(width * present))[..., None]
    colour = dice.uniform(0.05, 0.6, 3)[:, None, None]
    return np.where(cover, colour, picture)


def _blur(picture: Array, sigma: Array) -> Array:
    """Blur each picture `(N, H, W, 3)` by its own Gaussian with five taps."""
    taps = np.exp(-(np.arange(-2, 3, dtype=np.float32) ** 2) / (2.0 * sigma[:, None] ** 2))
    taps = (taps / taps.sum(axis=1, keepdims=True)).astype(np.float32)  # (N, 5)
    for axis in (1, 2):
        width = [(0, 0)] * 4
        width[axis] = (2, 2)
        padded, length = np.pad(picture, width, mode="edge"), picture.shape[axis]
        shifted = [np.take(padded, np.arange(k, k + length), axis=axis) for k in range(5)]
        picture = sum(
            (taps[:, k, None, None, None] * s for k, s in enumerate(shifted)), start=0.0 * picture
        )
    return picture


def _light(dice: Dice, picture: Array) -> Array:
    """Apply gain, a shadow gradient, a colour cast and haze."""
    x, y = _grid(picture.shape[1])
    gain, slope = dice.uniform(0.25, 1.2), dice.uniform(-0.35, 0.35, 2)
    shade = _column(gain) * (1.0 + _column(slope[:, 0]) * x + _column(slope[:, 1]) * y)
    cast = dice.uniform(0.75, 1.25, 3)[:, None, None]
    haze, level = dice.uniform(0.0, 0.45)[:, None, None, None], dice.uniform(0.2, 0.8)
    return picture * shade[..., None] * cast * (1.0 - haze) + haze * level[:, None, None, None]


def photograph(
    textures: Array, labels: NDArray[np.int64], unit: Array, noise: Array, size: int
) -> NDArray[np.uint8]:
    """Take one photograph per label.

    Args:
        textures: RGBA faces, `(classes, T, T, 4)` in [0, 1].
        labels: Class of each photograph, `(N,)`.
        unit: Uniform numbers in [0, 1), `(N, PARAMETERS)`.
        noise: Sensor noise of unit variance, `(N, size, size, 3)`.
        size: Height and width in pixels.

    Returns:
        RGB pictures, uint8 `(N, size, size, 3)`.
    """
    dice, side, fine = Dice(unit), textures.shape[1], size * _SAMPLES
    u, v = _pose(dice, fine)
    column = ((u + 1.0) * (side / 2)).astype(np.int32)
    row = ((v + 1.0) * (side / 2)).astype(np.int32)
    outside = (np.abs(u) >= 1.0) | (np.abs(v) >= 1.0)
    inside = np.clip(row, 0, side - 1) * side + np.clip(column, 0, side - 1)
    flat = labels.astype(np.int32)[:, None, None] * (side * side) + inside
    face = textures.reshape(-1, 4)[flat]  # (N, F, F, 4)
    cover = np.where(outside, 0.0, face[..., 3])[..., None]
    background = np.repeat(np.repeat(_background(dice, size), _SAMPLES, 1), _SAMPLES, 2)
    picture = background + cover * (face[..., :3] - background)
    picture = picture.reshape(-1, size, _SAMPLES, size, _SAMPLES, 3).mean(axis=(2, 4))
    picture = _light(dice, _occlude(dice, picture))
    picture = _blur(picture, dice.uniform(0.2, 1.1))
    grain = dice.uniform(0.005, 0.07)[:, None, None, None]
    picture = np.clip(picture + grain * noise, 0.0, 1.0)
    return np.asarray(np.rint(255.0 * picture), dtype=np.uint8)
