"""Restore a large image in overlapping tiles, and an image in all its flips and turns."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

OVERLAP = 16  # pixels on each side of a tile that its neighbours also see
_PIXELS = 2**15  # of the tiles that go through the network at once

Network = Callable[[Tensor], Tensor]


def in_tiles(network: Network, x: Tensor, tile: int) -> Tensor:
    """Return `network(x)` computed from tiles of `tile` pixels and their surroundings.

    Every tile is as large as any other, so several go through the network at once. Where a
    gradient is asked for, the backward pass computes each bundle of tiles again instead of
    keeping its activations.

    Args:
        network: Maps `(N, C, h, w)` to `(N, C', scale h, scale w)`, and sees at most `OVERLAP`
            pixels far if the result is to be the same.
        x: Images `(N, C, H, W)`.
        tile: Side of what each tile contributes, in pixels of `x`.
    """
    height, width = x.shape[-2:]
    rows, columns = _cuts(height, tile), _cuts(width, tile)
    if len(rows) == len(columns) == 1:
        return network(x)
    high, wide = min(tile + 2 * OVERLAP, height), min(tile + 2 * OVERLAP, width)
    tiles = torch.cat(
        [x[..., r : r + high, c : c + wide] for r, _, _ in rows for c, _, _ in columns]
    )
    restored = torch.cat(
        [_run(network, part) for part in tiles.split(max(_PIXELS // (high * wide), 1))]
    )
    scale = restored.shape[-1] // wide
    parts = iter(restored.split(len(x)))
    return torch.cat(
        [
            torch.cat(
                [
                    next(parts)[..., scale * top : scale * bottom, scale * left : scale * right]
                    for _, left, right in columns
                ],
                dim=-1,
            )
            for _, top, bottom in rows
        ],
        dim=-2,
    )


def _cuts(length: int, tile: int) -> list[tuple[int, int, int]]:
    """Return where each tile starts, and where in it its own part starts and ends."""
    size = min(tile + 2 * OVERLAP, length)
    found = []
    for own in range(0, length, tile):
        start = min(max(own - OVERLAP, 0), length - size)
        found.append((start, own - start, min(own + tile, length) - start))
    return found if size < length else [(0, 0, length)]


def _run(network: Network, tiles: Tensor) -> Tensor:
    if not (torch.is_grad_enabled() and tiles.requires_grad):
        return network(tiles)
    out: Tensor = checkpoint(network, tiles, use_reentrant=False, preserve_rng_state=False)
    return out


def ensemble(network: Network, x: Tensor) -> Tensor:
    """Return the mean of `network` over the eight flips and turns of `x`, each turned back."""
    total: Tensor | None = None
    for turns in range(4):
        for flip in (False, True):
            turned = x.rot90(turns, (-2, -1))
            out = network(turned.flip(-1) if flip else turned)
            back = (out.flip(-1) if flip else out).rot90(-turns, (-2, -1))
            total = back if total is None else total + back
    assert total is not None
    return total / 8
