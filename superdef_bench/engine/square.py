"""Random search by squares (Andriushchenko et al., ECCV 2020): scores only, never a gradient."""

import math
from functools import cache, partial

import torch
from torch import Tensor, nn

from superdef_bench.core.rng import Random
from superdef_bench.core.threats import Threat
from superdef_bench.core.types import AttackContext
from superdef_bench.engine.ascent import project
from superdef_bench.engine.gradient import Loss, look
from superdef_bench.engine.losses import cross_entropy, margin
from superdef_bench.engine.search import Search

_TINY = 1e-12
_SAME = 1e-7
_BLOCK = 64  # queries whose numbers are drawn at once
_TILES = 5  # an L2 start has so many tiles along the shorter side
# Shares of the queries after which a square has half as many pixels as before.
_HALVED = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)


def square_search(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    context: AttackContext,
    *,
    queries: int,
    p_init: float,
    schedule: int = 0,
) -> Tensor:
    """Change one random square after the other and keep what raises the loss.

    Each image has squares of its own, drawn by its id, so that its result does not depend on its
    batch. The loss is the margin, for targets minus the cross-entropy.

    Args:
        model: Classifier; it sees detached images, with autograd off.
        x: Images `(N, C, H, W)` in [0, 1].
        y: Labels `(N,)`.
        threat: Ball to stay in.
        context: Goal, ids and random numbers.
        queries: Forward passes per image.
        p_init: Share of the pixels that the first squares have.
        schedule: Queries over which squares shrink; by default all of them.

    Returns:
        Adversarial images of the shape of `x`.
    """
    search = Search(x, y, context)
    batch = search.batch()
    loss: Loss = partial(margin, topk=context.topk) if context.target is None else cross_entropy
    linf, channels = threat.norm == "linf", x.shape[1]
    random = batch.context.random.fork("start")
    iterate = _stripes(batch.x, threat, random) if linf else _tiles(batch.x, threat, random)
    numbers = torch.empty(0)  # (M, block, places, turn and signs)
    for query in range(queries):
        seen = look(model, iterate, batch.y, batch.context, loss, gradient=False)
        search.update(batch, query, iterate, seen, clean=False)
        if query % _BLOCK == 0:
            drawn = batch.context.random.fork(f"block {query // _BLOCK}")
            numbers = drawn.uniform(_BLOCK, channels + 5)
        batch, (numbers,) = search.pack(batch, query, numbers)
        if not len(batch.y):
            break
        best = search.best if batch.rows is None else search.best[batch.rows]
        side = _side(query, schedule or queries, p_init, x)
        change = _recolour if linf else _move
        iterate = change(best, batch.x, threat, side, numbers[:, query % _BLOCK])
    return search.best


def _side(query: int, schedule: int, p_init: float, x: Tensor) -> int:
    """Return the side of the squares after `query` queries."""
    share = p_init / 2 ** sum(query > schedule * point for point in _HALVED)
    height, width = x.shape[-2:]
    return min(max(round(math.sqrt(share * height * width)), 1), height, width)


def _signs(uniform: Tensor) -> Tensor:
    return torch.where(uniform < 0.5, -1.0, 1.0)


def _window(x: Tensor, side: int, uniform: Tensor) -> tuple[Tensor, ...]:
    """Return the index of a square in every channel, at a place drawn from `(N, 2)`."""
    # Each below the number of places, as numbers of 24 bits stay below 1.
    corners = [
        (uniform[:, axis] * (length - side + 1)).long() for axis, length in enumerate(x.shape[-2:])
    ]
    corner = torch.stack(corners, dim=1)  # (N, 2)
    place = corner[..., None] + torch.arange(side, device=x.device)  # (N, 2, side)
    image, channel = (torch.arange(length, device=x.device) for length in x.shape[:2])
    return (
        image.view(-1, 1, 1, 1),
        channel.view(1, -1, 1, 1),
        place[:, 0, None, :, None],
        place[:, 1, None, None, :],
    )


def _stripes(x: Tensor, threat: Threat, random: Random) -> Tensor:
    """Return images with vertical stripes at the border of the linf ball."""
    assert threat.eps is not None
    return project(x + threat.eps * _signs(random.uniform(x.shape[1], 1, x.shape[3])), x, threat)


def _recolour(best: Tensor, x: Tensor, threat: Threat, side: int, numbers: Tensor) -> Tensor:
    """Set a square to a corner of the linf ball, with one sign per channel."""
    assert threat.eps is not None
    window, moved = _window(x, side, numbers[:, :2]), best.clone()
    sign = _signs(numbers[:, 5:]).view(*x.shape[:2], 1, 1)
    known, middle = best[window], x[window]
    fresh = (middle + threat.eps * sign).clamp(0.0, 1.0)
    # A square that is there already would waste the query.
    same = (fresh - known).abs().flatten(1).amax(dim=1).view(-1, 1, 1, 1) < _SAME
    moved[window] = middle + threat.eps * torch.where(same, -sign, sign)
    return project(moved, x, threat)


def _bump(height: int, width: int) -> Tensor:
    """Return a bump that falls from the middle of a rectangle, `(height, width)`."""
    rows = (torch.arange(height) - height // 2).abs()
    columns = (torch.arange(width) - width // 2).abs()
    away = torch.maximum(rows[:, None], columns[None])
    levels = 1 / torch.arange(1, max(height, width) // 2 + 2) ** 2
    return levels.flip(0).cumsum(0).flip(0)[away]


@cache
def _pair(side: int, device: torch.device) -> Tensor:
    """Return two bumps of opposite sign and of norm 1 together, upright and turned, `(2, s, s)`."""
    halves = [_bump(rows, side) for rows in (side // 2, side - side // 2)]
    first, second = (half / half.norm() for half in halves)
    pair = torch.cat([first, -second])
    pair = pair / pair.norm()
    return torch.stack([pair, pair.T]).to(device)


def _size(change: Tensor) -> Tensor:
    """Return the L2 norm per image and channel, `(N, C, 1, 1)`."""
    return torch.linalg.vector_norm(change, dim=(-2, -1), keepdim=True)


def _tiles(x: Tensor, threat: Threat, random: Random) -> Tensor:
    """Return images with a grid of bumps at the border of the L2 ball."""
    assert threat.eps is not None
    n, channels, height, width = x.shape
    side = max(min(height, width) // _TILES, 1)
    down, across = height // side, width // side
    turned = (random.uniform(down, across) < 0.5).long()  # (N, down, across)
    signs = _signs(random.uniform(channels, down, across))
    tiles = _pair(side, x.device)[turned][:, None] * signs[..., None, None]
    grid = tiles.transpose(3, 4).reshape(n, channels, down * side, across * side)
    change = torch.zeros_like(x)
    top, left = (height - down * side) // 2, (width - across * side) // 2
    change[..., top : top + down * side, left : left + across * side] = grid
    whole = torch.linalg.vector_norm(change.flatten(1), dim=1).view(-1, 1, 1, 1)
    return project(x + threat.eps * change / whole, x, threat)


def _move(best: Tensor, x: Tensor, threat: Threat, side: int, numbers: Tensor) -> Tensor:
    """Move the mass of one square, and what the L2 ball has left, into another."""
    assert threat.eps is not None
    side = min(max(side | 1, 3), *x.shape[-2:])
    change = best - x
    into, out = (_window(x, side, numbers[:, start : start + 2]) for start in (0, 2))
    spare = (threat.eps**2 - (change**2).sum(dim=(1, 2, 3), keepdim=True)).clamp_min(0.0)
    before = change[into]
    rest = change.clone()
    rest[out] = 0.0
    rest[into] = 0.0
    freed = _size(change) ** 2 - _size(rest) ** 2  # of both squares, (N, C, 1, 1)
    bumps = _pair(side, x.device)[(numbers[:, 4] < 0.5).long()][:, None]
    added = bumps * _signs(numbers[:, 5:]).view(*x.shape[:2], 1, 1)
    added = added + before / _size(before).clamp_min(_TINY)
    room = (freed.clamp_min(0.0) + spare / x.shape[1]).sqrt()
    rest[into] = added / _size(added).clamp_min(_TINY) * room
    return project(x + rest, x, threat)
