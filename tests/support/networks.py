"""Networks whose weights are drawn, so that no layer does nothing."""

import torch
from torch import Tensor, nn


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give every learned tensor large random values, biases and small branches too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in network.parameters():
            if tensor.requires_grad:
                size = tensor[0].numel() ** -0.5 if tensor.ndim > 1 else 0.3
                tensor.copy_(size * torch.randn(tensor.shape, generator=generator))
    return network.eval()


class SeparableNet(nn.Module):
    """A depthwise and a pointwise convolution, as mobile networks stack them, on 3 channels.

    Args:
        num_classes: K.
        width: Channels between the two.
        blocks: How often the pair stands.
    """

    def __init__(self, num_classes: int = 5, width: int = 8, blocks: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.ReLU()]
        for _ in range(blocks):
            layers += [nn.Conv2d(width, width, 3, padding=1, groups=width), nn.ReLU()]
            layers += [nn.Conv2d(width, width, 1), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(x).mean(dim=(2, 3)))
        return logits
