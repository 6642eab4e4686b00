"""The hourglass of Deep Image Prior, many independent networks side by side in one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor
from torch.nn import functional

from superdef_bench.core.errors import ConfigError
from superdef_bench.core.rng import Random

_FILTER = 3
_EPS = 1e-5  # of batch norm, torch's default
COLOURS = 3


@dataclass(frozen=True)
class SkipShape:
    """The size of a skip network (Ulyanov et al., CVPR 2018).

    At each scale two 3x3 convolutions halve the image once, and after the deeper scales a 3x3 and
    a 1x1 convolution follow on the enlarged (bilinear) result, joined with the skip, a 1x1
    convolution of what came in. Batch norm follows every convolution but the last, and every join.

    Args:
        down: Channels of each scale, down and up.
        skip: Channels of the skip of each scale; 0 for none.

    Raises:
        ConfigError: A size is out of its range.
    """

    down: tuple[int, ...]
    skip: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.down or len(self.down) != len(self.skip):
            raise ConfigError(
                f"a skip network with {len(self.down)} scales and {len(self.skip)} skips",
                hint="give one number of channels each for every scale",
            )
        if min(self.down) < 1 or min(self.skip) < 0:
            raise ConfigError("a skip network with no channels", hint="take 1 or more, skips 0")

    @property
    def stride(self) -> int:
        """How much smaller the deepest scale is than the image."""
        return 2 ** len(self.down)

    @property
    def parameters(self) -> int:
        """How many parameters one network has."""
        return sum(prod(size) for size, _ in self.tensors().values())

    def tensors(self) -> Mapping[str, tuple[tuple[int, ...], int]]:
        """Return the size of each tensor and how many inputs feed a unit, by name.

        Where no inputs are counted it belongs to a batch norm.
        """
        return dict(self._tensors())

    def _tensors(self) -> Iterator[tuple[str, tuple[tuple[int, ...], int]]]:
        deepest = len(self.down) - 1
        for scale, (width, beside) in enumerate(zip(self.down, self.skip, strict=True)):
            above = self.down[scale - 1] if scale else COLOURS
            below = self.down[min(scale + 1, deepest)]
            if beside:
                yield from _convolution(f"{scale}.skip", above, beside, 1)
            yield from _convolution(f"{scale}.halve", above, width, _FILTER)
            yield from _convolution(f"{scale}.down", width, width, _FILTER)
            yield from _norm(f"{scale}.join", beside + below)
            yield from _convolution(f"{scale}.up", beside + below, width, _FILTER)
            yield from _convolution(f"{scale}.mix", width, width, 1)
        yield from _convolution("colours", self.down[0], COLOURS, 1, normed=False)


# The size of the poster "Deep Protection", which is that of JPEG restoration in Ulyanov et al.
PUBLISHED = SkipShape((8, 16, 32, 64, 128), (0, 0, 0, 4, 4))
# Three scales, for images of 32 pixels, of which five would leave one.
SMALL = SkipShape((16, 32, 64), (0, 4, 4))


def _convolution(
    name: str, inputs: int, outputs: int, side: int, *, normed: bool = True
) -> Iterator[tuple[str, tuple[tuple[int, ...], int]]]:
    feeding = inputs * side * side
    yield f"{name}.weight", ((outputs, inputs, side, side), feeding)
    yield f"{name}.bias", ((outputs,), feeding)
    if normed:
        yield from _norm(name, outputs)


def _norm(name: str, channels: int) -> Iterator[tuple[str, tuple[tuple[int, ...], int]]]:
    yield f"{name}.scale", ((channels,), 0)
    yield f"{name}.shift", ((channels,), 0)


def draw_weights(shape: SkipShape, random: Random) -> dict[str, Tensor]:
    """Return fresh weights of one network per row, each tensor `(R, ...)`.

    Convolutions are uniform within one over the root of their inputs, torch's default.
    """
    rows, tensors = len(random.ids), shape.tensors()
    count = sum(prod(size) for size, feeding in tensors.values() if feeding)
    drawn = torch.stack([torch.rand(count, generator=own) for own in generators(random)])
    drawn = drawn.to(random.ids.device)
    weights, taken = {}, 0
    for name, (size, feeding) in tensors.items():
        if feeding:
            values = 2 * drawn[:, taken : taken + prod(size)] - 1
            weights[name] = (values / feeding**0.5).reshape(rows, *size)
            taken += prod(size)
        else:
            value = float(name.endswith(".scale"))
            weights[name] = torch.full((rows, *size), value, device=drawn.device)
    return weights


def generators(random: Random) -> list[torch.Generator]:
    """Return one of torch's generators for each row, on the CPU: many numbers of it cost little."""
    seeds = random.bits(2).tolist()
    return [torch.Generator().manual_seed(high * 2**31 + low // 2) for high, low in seeds]


def draw(shape: SkipShape, weights: Mapping[str, Tensor], z: Tensor) -> Tensor:
    """Return what the network of each row makes of its latent image.

    Rows never mix: each has its own weights, and the statistics of batch norm are those of one
    image.

    Args:
        shape: Size of the networks.
        weights: Their weights, as `draw_weights` returns them.
        z: Latent images `(R, 3, H, W)`; each side a multiple of the stride, and above it.

    Returns:
        Images `(R, 3, H, W)` in (0, 1).
    """
    inner = _scale(shape, weights, z, 0)
    return torch.sigmoid(_convolve(weights, "colours", inner))


def _scale(shape: SkipShape, weights: Mapping[str, Tensor], x: Tensor, scale: int) -> Tensor:
    name = str(scale)
    deeper = _convolve(weights, f"{name}.halve", x, stride=2)
    deeper = _convolve(weights, f"{name}.down", deeper)
    if scale + 1 < len(shape.down):
        deeper = _scale(shape, weights, deeper, scale + 1)
    joined = functional.interpolate(deeper, scale_factor=2, mode="bilinear", align_corners=False)
    if shape.skip[scale]:
        joined = torch.cat([_convolve(weights, f"{name}.skip", x), joined], dim=1)
    joined = _normalise(weights, f"{name}.join", joined)
    return _convolve(weights, f"{name}.mix", _convolve(weights, f"{name}.up", joined))


def _convolve(weights: Mapping[str, Tensor], name: str, x: Tensor, *, stride: int = 1) -> Tensor:
    """Return a convolution, and behind it batch norm and Swish where it has them."""
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    rows, outputs, inputs, side, _ = weight.shape
    if side == 1:
        # A product per row; a grouped convolution takes longer.
        out = torch.baddbmm(bias[..., None], weight.flatten(2), x.flatten(2))
        out = out.unflatten(2, x.shape[-2:])
    else:
        padded = functional.pad(x, (side // 2,) * 4, mode="reflect")
        out = functional.conv2d(
            padded.reshape(1, rows * inputs, *padded.shape[-2:]),
            weight.reshape(rows * outputs, inputs, side, side),
            bias.reshape(-1),
            stride=stride,
            groups=rows,
        )
        out = out.reshape(rows, outputs, *out.shape[-2:])
    if f"{name}.scale" not in weights:
        return out
    return functional.silu(_normalise(weights, name, out))


def _normalise(weights: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Return batch norm over the pixels of each row by itself."""
    rows, channels = x.shape[:2]
    scale, shift = weights[f"{name}.scale"].reshape(-1), weights[f"{name}.shift"].reshape(-1)
    flat = x.reshape(1, rows * channels, *x.shape[-2:])
    normed = functional.batch_norm(flat, None, None, scale, shift, training=True, eps=_EPS)
    return normed.reshape(x.shape)
