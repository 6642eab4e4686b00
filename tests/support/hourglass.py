"""The skip network of Deep Image Prior in torch's own layers, one network: what ours is held to."""

import torch
from torch import Tensor, nn

from superdef_bench.nn.skip import SkipShape


class Hourglass(nn.Module):
    """One scale and those below it, written with torch's layers for one network."""

    def __init__(self, shape: SkipShape, scale: int = 0) -> None:
        super().__init__()
        above = shape.down[scale - 1] if scale else 3
        width, beside = shape.down[scale], shape.skip[scale]
        last = scale + 1 == len(shape.down)
        below = width if last else shape.down[scale + 1]
        self.skip = block(above, beside, 1) if beside else None
        self.halve, self.down = block(above, width, 3, stride=2), block(width, width, 3)
        self.deeper = None if last else Hourglass(shape, scale + 1)
        self.enlarge = nn.Upsample(scale_factor=2, mode="bilinear")
        self.join = nn.BatchNorm2d(beside + below)
        self.up, self.mix = block(beside + below, width, 3), block(width, width, 1)
        self.colours = None if scale else nn.Conv2d(width, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        deeper = self.down(self.halve(x))
        if self.deeper is not None:
            deeper = self.deeper(deeper)
        joined = self.enlarge(deeper)
        if self.skip is not None:
            joined = torch.cat([self.skip(x), joined], dim=1)
        out = self.mix(self.up(self.join(joined)))
        return out if self.colours is None else torch.sigmoid(self.colours(out))


def block(inputs: int, outputs: int, side: int, stride: int = 1) -> nn.Sequential:
    padding = side // 2
    convolution = nn.Conv2d(
        inputs, outputs, side, stride=stride, padding=padding, padding_mode="reflect"
    )
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.SiLU())
