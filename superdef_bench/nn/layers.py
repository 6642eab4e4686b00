"""Layers that super-resolution networks share."""

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.amp.autocast_mode import is_autocast_available

from superdef_bench.core.errors import ConfigError

SCALES = (2, 3, 4)
LARGEST_SIZE = 1024  # of blocks or features; the largest published networks have 256
LEVELS = 255.0  # published weights work on 0..255; ours do too, so that either kind loads

# Mean of RGB over the training images of DIV2K (Agustsson and Timofte, CVPRW 2017).
_MEAN = (0.4488, 0.4371, 0.4040)


def conv3(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a 3x3 convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def check_sizes(scale: int, **sizes: int) -> None:
    """Raise ConfigError unless there are weights for the scale and every size is within bounds."""
    if scale not in SCALES:
        raise ConfigError(f"scale is {scale}", hint="take 2, 3 or 4")
    for name, value in sizes.items():
        if not isinstance(value, int) or not 1 <= value <= LARGEST_SIZE:
            raise ConfigError(f"{name} is {value}", hint=f"take 1 to {LARGEST_SIZE}")


class MeanShift(nn.Conv2d):
    """Add or subtract the mean colour; a frozen 1x1 convolution, as in published weights.

    Args:
        sign: -1 before the network, 1 after it.
    """

    def __init__(self, sign: int) -> None:
        super().__init__(3, 3, 1)
        with torch.no_grad():
            self.weight.copy_(torch.eye(3).view(3, 3, 1, 1))
            assert self.bias is not None
            self.bias.copy_(sign * LEVELS * torch.tensor(_MEAN))
        self.requires_grad_(False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # as torch names it
        """Shift images; pixels of 0..255 keep their precision where convolutions lose some."""
        device = input.device.type
        lowered = is_autocast_available(device) and torch.is_autocast_enabled(device)
        with torch.autocast(device, enabled=False) if lowered else nullcontext():
            return super().forward(input.float() if lowered else input)


class Upsampler(nn.Sequential):
    """Convolutions and pixel shuffles (Shi et al., CVPR 2016): one stage, two for scale 4."""

    def __init__(self, features: int, scale: int) -> None:
        factors = [3] if scale == 3 else [2] * (scale // 2)
        stages: list[nn.Module] = []
        for factor in factors:
            stages += [conv3(features, factor**2 * features), nn.PixelShuffle(factor)]
        super().__init__(*stages)


class Restorer(nn.Module):
    """What EDSR and RCAN share: mean shift, head, body with a long skip, upsampling tail.

    Args:
        body: Keeps `(N, features, H, W)`.
        features: Channels inside.
        scale: 2, 3 or 4.
    """

    def __init__(self, body: nn.Module, features: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.subtract_mean = MeanShift(-1)
        self.head = conv3(3, features)
        self.body = body
        self.upsampler = Upsampler(features, scale)
        self.tail = conv3(features, 3)
        self.add_mean = MeanShift(1)

    def forward(self, x: Tensor) -> Tensor:
        """Map images `(N, 3, H, W)` in [0, 1] to `(N, 3, scale H, scale W)`, not clipped."""
        centred = self.subtract_mean(x * LEVELS)
        # Convolutions may be of lower precision than the images.
        shallow = self.head(centred.to(self.head.weight.dtype))
        deep = self.body(shallow) + shallow
        out: Tensor = self.add_mean(self.tail(self.upsampler(deep)).to(x.dtype))
        return out / LEVELS
