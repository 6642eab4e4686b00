"""EDSR and RCAN with the tensor names of their public repositories, written independently."""

import torch
from torch import Tensor, nn

MEAN = torch.tensor([0.4488, 0.4371, 0.4040])


def convolution(inputs: int, outputs: int, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)


class Add(nn.Module):
    """A body whose scaled result is added to its input."""

    def __init__(self, *body: nn.Module, factor: float = 1.0) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x + self.factor * self.body(x)


class Attention(nn.Module):
    def __init__(self, features: int, reduction: int) -> None:
        super().__init__()
        self.conv_du = nn.Sequential(
            convolution(features, features // reduction, 1),
            nn.ReLU(),
            convolution(features // reduction, features, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        means = nn.functional.adaptive_avg_pool2d(x, 1)
        return x * self.conv_du(means)


class Published(nn.Module):
    """Mean shift, head, body with a long skip, tail; takes and returns 0 to `peak`."""

    def __init__(self, blocks: list[nn.Module], features: int, scale: int, peak: float) -> None:
        super().__init__()
        self.sub_mean, self.add_mean = convolution(3, 3, 1), convolution(3, 3, 1)
        for shift, sign in ((self.sub_mean, -1), (self.add_mean, 1)):
            assert shift.bias is not None
            shift.weight.data = torch.eye(3)[:, :, None, None]
            shift.bias.data = sign * peak * MEAN
        stages: list[nn.Module] = []
        for factor in {2: [2], 3: [3], 4: [2, 2], 8: [2, 2, 2]}[scale]:
            stages += [convolution(features, factor**2 * features), nn.PixelShuffle(factor)]
        self.head = nn.Sequential(convolution(3, features))
        self.body = nn.Sequential(*blocks, convolution(features, features))
        self.tail = nn.Sequential(nn.Sequential(*stages), convolution(features, 3))
        self.peak = peak

    def forward(self, x: Tensor) -> Tensor:
        """Map images in [0, 1] to larger ones."""
        first = self.head(self.sub_mean(x * self.peak))
        out: Tensor = self.add_mean(self.tail(first + self.body(first)))
        return out / self.peak


def public_edsr(
    *, blocks: int = 3, features: int = 12, scale: int = 2, peak: float = 255.0
) -> Published:
    torch.manual_seed(0)
    factor = 0.1 if features >= 256 else 1.0
    stack: list[nn.Module] = [
        Add(
            convolution(features, features),
            nn.ReLU(),
            convolution(features, features),
            factor=factor,
        )
        for _ in range(blocks)
    ]
    return Published(stack, features, scale, peak).eval()


def public_rcan(
    *,
    groups: int = 2,
    blocks: int = 3,
    features: int = 16,
    reduction: int = 4,
    scale: int = 2,
    peak: float = 255.0,
) -> Published:
    torch.manual_seed(0)

    def group() -> nn.Module:
        stack = [
            Add(
                convolution(features, features),
                nn.ReLU(),
                convolution(features, features),
                Attention(features, reduction),
            )
            for _ in range(blocks)
        ]
        return Add(*stack, convolution(features, features))

    return Published([group() for _ in range(groups)], features, scale, peak).eval()
