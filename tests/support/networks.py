"""Networks whose weights are drawn, so that no layer does nothing."""

import torch
from torch import nn


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give every learned tensor large random values, biases and small branches too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in network.parameters():
            if tensor.requires_grad:
                size = tensor[0].numel() ** -0.5 if tensor.ndim > 1 else 0.3
                tensor.copy_(size * torch.randn(tensor.shape, generator=generator))
    return network.eval()
