"""Images as a classifier sees them in training: mirrored and shifted at random."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Augment = Literal["none", "flip_crop"]

_SHIFT = 8  # the share of a side that a crop moves by at most: one in eight, 4 pixels of 32


def flip_crop(x: Tensor, seed: int) -> Tensor:
    """Return images mirrored and shifted at random, each for itself (He et al., CVPR 2016).

    Half of them are mirrored. Each is shifted by up to an eighth of its side in both directions;
    what comes into the picture is black. The same seed draws the same.

    Args:
        x: Images `(N, C, H, W)`.
        seed: Of the draws.
    """
    count, _, height, width = x.shape
    generator = torch.Generator().manual_seed(seed)
    tall, wide = height // _SHIFT, width // _SHIFT
    down = torch.randint(2 * tall + 1, (count, 1), generator=generator)
    right = torch.randint(2 * wide + 1, (count, 1), generator=generator)
    mirrored = torch.rand(count, 1, generator=generator) < 0.5
    rows = down + torch.arange(height)
    columns = right + torch.arange(width)
    columns = torch.where(mirrored, columns.flip(1), columns)
    padded = functional.pad(x, (wide, wide, tall, tall))
    each = torch.arange(count)[:, None, None]
    found = padded.permute(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None]]
    # With the channels last in memory torch 2.11 crashes in layers of under 16 channels.
    return found.permute(0, 3, 1, 2).contiguous()
