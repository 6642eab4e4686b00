"""A fixed small task that contract checks and tests run on."""

import torch
from torch import Tensor, nn

from superdef_bench.types import Task

CLASSES = 10


def toy_model(channels: int = 3) -> nn.Module:
    """Return a fixed small classifier of ten classes that takes any size."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(
        nn.InstanceNorm2d(channels),
        nn.Conv2d(channels, 16, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(16 * 16, CLASSES),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            scale = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.0
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return model.eval().requires_grad_(False)


def toy_images(count: int = 6, channels: int = 3, size: int = 32) -> tuple[Tensor, Tensor]:
    """Return smooth random images `(count, channels, size, size)` and their ids.

    Each reaches 0 and 1, and each has a brightness of its own: a transform that leaves the range
    or mixes images shows.
    """
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(count, channels, 8, 8, generator=generator)
    images = nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    low, high = (edge(dim=(1, 2, 3), keepdim=True) for edge in (images.amin, images.amax))
    gamma = torch.linspace(0.5, 2.0, count).view(-1, 1, 1, 1)
    return ((images - low) / (high - low)).pow(gamma), torch.arange(1, count + 1)


def toy_task(channels: int = 3, size: int = 32) -> Task:
    """Return the task of the toy classifier."""
    names = tuple(f"class {number}" for number in range(CLASSES))
    return Task("toy", "", CLASSES, names, (channels, size, size), "toy", "")
