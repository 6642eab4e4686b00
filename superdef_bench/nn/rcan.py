"""RCAN: residual groups with channel attention (Zhang et al., ECCV 2018)."""

from torch import Tensor, nn

from superdef_bench.core.errors import ConfigError
from superdef_bench.nn.layers import Restorer, check_sizes, conv3


class ChannelAttention(nn.Module):
    """Weigh each channel by a gate computed from the means of all."""

    def __init__(self, features: int, reduction: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(features, features // reduction, 1)
        self.excite = nn.Conv2d(features // reduction, features, 1)

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean(dim=(-2, -1), keepdim=True)  # (N, F, 1, 1)
        return x * self.excite(self.squeeze(means).relu()).sigmoid()


class AttentionBlock(nn.Module):
    """Two 3x3 convolutions and channel attention, added to the input."""

    def __init__(self, features: int, reduction: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv3(features, features), conv3(features, features)
        self.attention = ChannelAttention(features, reduction)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.attention(self.conv2(self.conv1(x).relu()))


class ResidualGroup(nn.Module):
    """Blocks and a 3x3 convolution, added to the input."""

    def __init__(self, blocks: int, features: int, reduction: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(AttentionBlock(features, reduction) for _ in range(blocks)))
        self.conv = conv3(features, features)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(self.blocks(x))


class RCAN(Restorer):
    """Residual channel attention network (Zhang et al., ECCV 2018); 10 x 20 x 64 as published.

    Its attention averages over the whole image: a tile of an image is restored slightly
    differently than the image.

    Args:
        groups: Residual groups.
        blocks: Blocks per group.
        features: Channels.
        scale: 2, 3 or 4.
        reduction: Features per channel of the attention's bottleneck.
    """

    def __init__(
        self,
        *,
        groups: int = 10,
        blocks: int = 20,
        features: int = 64,
        scale: int = 2,
        reduction: int = 16,
    ) -> None:
        check_sizes(scale, groups=groups, blocks=blocks, features=features, reduction=reduction)
        check_sizes(scale, **{"groups x blocks": groups * blocks})
        if features < reduction:
            raise ConfigError(
                f"features is {features}, fewer than the reduction of {reduction}",
                hint=f"take {reduction} features or more",
            )
        stack = [ResidualGroup(blocks, features, reduction) for _ in range(groups)]
        super().__init__(nn.Sequential(*stack, conv3(features, features)), features, scale)
        self.size = f"{groups}x{blocks}x{features}"
