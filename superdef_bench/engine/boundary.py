"""Fast adaptive boundary attack: steps onto the decision boundary, linearised, near the image."""

import torch
from torch import Tensor, nn

from superdef_bench.core.rng import Random
from superdef_bench.core.threats import Norm, Threat
from superdef_bench.core.types import AttackContext
from superdef_bench.engine.apgd import random_surface, split_runs
from superdef_bench.engine.ascent import project
from superdef_bench.engine.losses import logit_gap
from superdef_bench.engine.search import Search
from superdef_bench.engine.targets import Aims, aimed_at, best_of

_BIAS = 0.1  # at most, towards the clean image
_OVERSHOOT = 1.05
_BACKWARD = 0.9  # how far from the image a fooling iterate goes on
_NEWTON = 10  # steps, of which a handful are used
_TINY, _SHORT = 1e-12, 1e-8


def fab(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    context: AttackContext,
    *,
    targets: int,
    steps: int = 100,
    restarts: int = 1,
    nearest: bool = False,
) -> Tensor:
    """Look for the nearest point beyond the boundary, until one lies in the ball.

    Croce and Hein, "Minimally distorted adversarial examples with a fast adaptive boundary attack"
    (ICML 2020). Each iterate is one forward and one backward pass, for `nearest` one of each per
    target: what says whether it fools is also where the boundary is linearised next. The first
    run starts at the image, the others at random points half as far away as the border of the
    ball.

    Args:
        model: Classifier, in the gradient view to attack.
        x: Images `(N, C, H, W)` in [0, 1].
        y: Labels `(N,)`.
        threat: Ball to stay in.
        context: Goal, ids and random numbers.
        targets: So many of the likeliest other classes have their boundaries looked for; with a
            target in the context, that one alone.
        steps: Steps per restart and target.
        restarts: Runs.
        nearest: Go to the nearest of these boundaries at each step, in one run; else each target
            has a run of its own, side by side.

    Returns:
        Images of the shape of `x`: fooling ones in the ball where they were found, else the
        image or an iterate brought back into the ball.
    """
    search = Search(x, y, context)
    for restart in range(restarts):
        standing = search.batch()
        if not len(standing.y):
            break
        for aims in split_runs(model, standing, aimed_at(model, standing, targets)):
            start = aims.spread(aims.batch.x)
            if restart:
                random = aims.batch.context.random.fork(f"restart {restart}")
                start = _half_way(aims, threat, random)
            if nearest:
                start = start[:, :1]
            _approach(model, search, aims, start, threat, steps, restart * steps)
    return search.best


def _half_way(aims: Aims, threat: Threat, random: Random) -> Tensor:
    x = aims.batch.x[:, None]
    return x + (random_surface(aims, threat, random) - x) / 2


def _approach(
    model: nn.Module,
    search: Search,
    aims: Aims,
    start: Tensor,
    threat: Threat,
    steps: int,
    taken: int,
) -> None:
    """Take the steps from `start`, `(M, R, C, H, W)`, and tell `search` of every iterate.

    R is the number of targets, or 1 where each step goes to the nearest boundary.
    """
    assert threat.eps is not None, "the harness gives budget attacks a radius"
    assert aims.labels is not None, "FAB aims at classes"
    iterate, labels = start, aims.labels
    for step in range(steps + 1):
        batch, (iterate, labels) = search.pack(aims.batch, step, iterate, labels)
        aims = Aims(batch, labels)
        if not len(batch.y):
            return
        gap, fooled, slope = aims.look(
            model, iterate.expand(-1, aims.runs, -1, -1, -1), logit_gap, gradient=step < steps
        )
        clean = batch.x[:, None]
        inside = _norm(iterate - clean, threat.norm) <= threat.eps
        kept = project(iterate.flatten(0, 1), _rows(clean, iterate), threat).view(iterate.shape)
        runs = iterate.shape[1]
        reached = gap if runs == aims.runs else gap.amax(dim=1, keepdim=True)
        seen = best_of(kept, reached, fooled[:, :runs] & inside)
        search.update(batch, taken + step, *seen, clean=False)
        if slope is None:
            return
        gap, slope = gap.nan_to_num(), slope.nan_to_num()
        if runs < aims.runs:
            gap, slope = _nearest(gap, slope, threat.norm)
        # A fooling iterate is too far away: the search goes on from nearer to the image.
        back = clean + _BACKWARD * (iterate - clean)
        base = torch.where(fooled[:, :runs, None, None, None], back, iterate)
        iterate = _step(base, iterate, clean.expand_as(iterate), gap, slope, threat.norm)


def _nearest(gap: Tensor, slope: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
    """Return gap `(M, 1)` and slope `(M, 1, C, H, W)` of the nearest linearised boundary."""
    away = gap.abs() / _norm(slope, norm, dual=True).clamp_min(_TINY)
    place = away.argmin(dim=1)
    images = torch.arange(len(place), device=place.device)
    return gap[images, place][:, None], slope[images, place][:, None]


def _step(
    base: Tensor, seen: Tensor, clean: Tensor, gap: Tensor, slope: Tensor, norm: Norm
) -> Tensor:
    """Return the next iterates: between the projections of `base` and of the image, a bit beyond.

    Args:
        base: Where the search stands, `(M, R, C, H, W)`.
        seen: Where the gap was measured.
        clean: The images.
        gap: Logit of the target minus that of the label at `seen`, `(M, R)`.
        slope: Its gradient.
        norm: Distances.
    """
    there, near = (
        onto_boundary(point, slope, gap + (slope * (point - seen)).flatten(2).sum(dim=2), norm)
        for point in (base, clean)
    )
    far, close = (_norm(move, norm).clamp_min(_SHORT) for move in (there, near))
    bias = (far / (far + close)).clamp_max(_BIAS)[..., None, None, None]
    moved = (1 - bias) * (base + _OVERSHOOT * there) + bias * (clean + _OVERSHOOT * near)
    return moved.clamp(0.0, 1.0)


def onto_boundary(point: Tensor, slope: Tensor, value: Tensor, norm: Norm) -> Tensor:
    """Return the shortest move that makes an affine function 0 and stays in [0, 1].

    Where no move in [0, 1] does, the one that comes nearest. With every pixel moving by
    min(t s, its room), s = 1 (Linf) or the size of its slope (L2), what the function loses grows
    with t, concave and piecewise linear: Newton's steps from 0 climb to the root and never past.

    Args:
        point: `(M, R, C, H, W)` in [0, 1].
        slope: Gradient of the function, of that shape.
        value: The function at the point, `(M, R)`.
        norm: What is shortest.
    """
    flat, weight = point.flatten(2), slope.flatten(2)
    # The function is to lose `value`: along minus its gradient, or along it where it is negative.
    down = torch.where(value[..., None] >= 0, weight, -weight)
    room = torch.where(down > 0, flat, 1 - flat)
    size = weight.abs()
    speed = torch.ones_like(size) if norm == "linf" else size
    wanted, time = value.abs(), torch.zeros_like(value)
    for _ in range(_NEWTON):
        way = time[..., None] * speed
        lost = (size * torch.minimum(way, room)).sum(dim=2)
        rate = (size * speed * (way < room)).sum(dim=2)
        time = time + torch.where(rate > 0, (wanted - lost) / rate.clamp_min(_TINY), torch.inf)
        time = time.nan_to_num(posinf=torch.finfo(time.dtype).max)
    way = torch.minimum(time[..., None] * speed, room)
    return (-down.sign() * way).view(point.shape)


def _norm(values: Tensor, norm: Norm, *, dual: bool = False) -> Tensor:
    """Return the norm of `(M, R, C, H, W)` per image, `(M, R)`; the dual of linf is l1."""
    order = 2.0 if norm == "l2" else (1.0 if dual else float("inf"))
    return torch.linalg.vector_norm(values.flatten(2), ord=order, dim=2)


def _rows(clean: Tensor, like: Tensor) -> Tensor:
    return clean.expand_as(like).flatten(0, 1)
