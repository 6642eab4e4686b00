"""EDSR: residual blocks without batch norm (Lim et al., CVPRW 2017)."""

from torch import Tensor, nn

from superdef_bench.nn.layers import Restorer, check_sizes, conv3


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions whose result is scaled and added."""

    def __init__(self, features: int, residual_scale: float) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv3(features, features), conv3(features, features)
        self.residual_scale = residual_scale

    def forward(self, x: Tensor) -> Tensor:
        return x + self.residual_scale * self.conv2(self.conv1(x).relu())


class EDSR(Restorer):
    """Enhanced deep super-resolution (Lim et al., CVPRW 2017).

    The baseline has 16 blocks of 64 features, the large network 32 of 256.

    Args:
        blocks: Residual blocks.
        features: Channels.
        scale: 2, 3 or 4.
        residual_scale: Factor of each block's result; by default 0.1 from 256 features on, as
            published, else 1.
    """

    def __init__(
        self,
        *,
        blocks: int = 16,
        features: int = 64,
        scale: int = 2,
        residual_scale: float | None = None,
    ) -> None:
        check_sizes(scale, blocks=blocks, features=features)
        factor = (0.1 if features >= 256 else 1.0) if residual_scale is None else residual_scale
        stack = [ResidualBlock(features, factor) for _ in range(blocks)]
        super().__init__(nn.Sequential(*stack, conv3(features, features)), features, scale)
        self.size = f"{blocks}x{features}"
        # A pixel for each convolution before the enlargement, and less for each behind it.
        self.reach = 2 * blocks + 5
