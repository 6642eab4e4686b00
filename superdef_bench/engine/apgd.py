"""Auto-PGD: projected gradient ascent that finds its own step length."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from superdef_bench.core.rng import Random
from superdef_bench.core.threats import Threat
from superdef_bench.core.types import AttackContext
from superdef_bench.engine.ascent import project, steepest
from superdef_bench.engine.gradient import Loss
from superdef_bench.engine.search import Batch, Search
from superdef_bench.engine.targets import Aims, aimed_at, best_of, is_random

_MOMENTUM = 0.25  # weight of the last move
_RISES = 0.75  # share of steps that must raise the loss for the step length to stay
_ROWS = 512  # images times targets under attack at once
_TINY = 1e-12


def auto_pgd(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    context: AttackContext,
    *,
    loss: Loss,
    steps: int = 100,
    restarts: int = 1,
    targets: int = 0,
) -> Tensor:
    """Climb the loss with steps from 2 eps down, halved where they no longer help.

    Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse
    parameter-free attacks" (ICML 2020). Each image, restart and target has a start of its own,
    keyed by the image.

    Args:
        model: Classifier, in the gradient view to attack.
        x: Images `(N, C, H, W)` in [0, 1].
        y: Labels `(N,)`.
        threat: Ball to stay in.
        context: Goal, ids and random numbers.
        loss: What to maximise.
        steps: Gradient steps per restart and target.
        restarts: Runs from a fresh start.
        targets: Aim at so many of the likeliest other classes, side by side, or at the target
            of the context alone; 0 for no aim. In `verdict` an image is finished once any of
            these runs fools.

    Returns:
        Adversarial images of the shape of `x`.
    """
    search = Search(x, y, context)
    for restart in range(restarts):
        standing = search.batch()
        if not len(standing.y):
            break
        labels = aimed_at(model, standing, targets) if targets else None
        for aims in split_runs(model, standing, labels):
            random = aims.batch.context.random.fork(f"restart {restart}")
            start = random_surface(aims, threat, random)
            climb(model, search, aims, start, threat, loss, steps, taken=restart * steps)
    return search.best


def split_runs(model: nn.Module, batch: Batch, labels: Tensor | None) -> Iterator[Aims]:
    """Yield the images with their runs, some at a time.

    All at once where the classifier is random: its draws are counted by call, so that a second
    part's would depend on the first.

    Args:
        model: Classifier.
        batch: Images.
        labels: Classes to aim at, `(M, T)`; None for one run that aims at none.
    """
    runs = 1 if labels is None else max(1, labels.shape[1])
    few = len(batch.y) if is_random(model) else _ROWS // runs
    for part in torch.arange(len(batch.y), device=batch.y.device).split(max(1, few)):
        if not len(part):  # an empty tensor splits into itself
            return
        yield Aims(batch.take(part), None if labels is None else labels[part])


def random_surface(aims: Aims, threat: Threat, random: Random) -> Tensor:
    """Return a random point at the border of the ball for each run, `(M, T, C, H, W)`."""
    x = aims.batch.x
    assert threat.eps is not None, "an attack without a ball has no start in it"
    shape = (aims.runs, *x.shape[1:])
    if threat.norm == "linf":
        noise = random.uniform(*shape, low=-1.0, high=1.0)
        size = noise.flatten(2).abs().amax(dim=2)
    else:
        noise = random.normal(*shape)
        size = noise.flatten(2).norm(dim=2)
    noise = noise / size.clamp_min(_TINY)[..., None, None, None]
    return (x[:, None] + threat.eps * noise).clamp(0.0, 1.0)


def climb(
    model: nn.Module,
    search: Search,
    aims: Aims,
    start: Tensor,
    threat: Threat,
    loss: Loss,
    steps: int,
    *,
    taken: int = 0,
    pace: Callable[[int], float] | None = None,
) -> None:
    """Run the ascent from `start` `(M, T, C, H, W)` and tell `search` of every iterate.

    Args:
        model: Classifier.
        search: Remembers the best.
        aims: Images and their runs.
        start: First iterates, in the ball.
        threat: Ball to stay in.
        loss: What to maximise.
        steps: Gradient steps.
        taken: Steps before these.
        pace: Gives the length of a step by its number, over 2 eps; by default 1, halved where
            the loss no longer rises.
    """
    assert threat.eps is not None, "an attack without a ball has nothing to project on"
    iterate = before = best = start
    height, fooled, slope = aims.look(model, iterate, loss, gradient=True)
    assert slope is not None
    search.update(aims.batch, taken, *best_of(iterate, height, fooled), clean=False)
    best_slope, best_height, last = slope, height, height
    length = torch.full_like(height, 2 * threat.eps)
    rises, checked = torch.zeros_like(height), height
    halved = torch.ones_like(height, dtype=torch.bool)
    left = dict(_checkpoints(steps)) if pace is None else {}
    for step in range(steps):
        state: tuple[Tensor, ...] = (iterate, before, best, slope, best_slope, best_height)
        aims, state = _pack(search, aims, step, (*state, last, length, rises, checked, halved))
        iterate, before, best, slope, best_slope, best_height = state[:6]
        last, length, rises, checked, halved = state[6:]
        if not len(aims.batch.y):
            return
        if pace is not None:
            length = torch.full_like(length, 2 * threat.eps * pace(step))
        moved = _move(iterate, before, slope, length, aims, threat, momentum=step > 0)
        iterate, before = moved, iterate
        height, fooled, found = aims.look(model, iterate, loss, gradient=step + 1 < steps)
        search.update(aims.batch, taken + step + 1, *best_of(iterate, height, fooled), clean=False)
        if found is None:
            return
        slope = found
        rises, last = rises + (height > last), height
        higher = height > best_height
        best_height = torch.where(higher, height, best_height)
        best = torch.where(_wide(higher), iterate, best)
        best_slope = torch.where(_wide(higher), slope, best_slope)
        if step in left:
            stuck = ~halved & (checked >= best_height)
            halved = (rises <= _RISES * left[step]) | stuck
            checked, rises = best_height, torch.zeros_like(rises)
            length = torch.where(halved, length / 2, length)
            iterate = torch.where(_wide(halved), best, iterate)
            slope = torch.where(_wide(halved), best_slope, slope)


def _pack(
    search: Search, aims: Aims, step: int, state: tuple[Tensor, ...]
) -> tuple[Aims, tuple[Tensor, ...]]:
    labels = () if aims.labels is None else (aims.labels,)
    batch, (*state_left, last) = search.pack(aims.batch, step, *state, *labels)
    if aims.labels is None:
        return Aims(batch, None), (*state_left, last)
    return Aims(batch, last), tuple(state_left)


def _checkpoints(steps: int) -> Iterator[tuple[int, int]]:
    """Yield the steps after which the length is looked at, each with the steps since the last."""
    window, least = max(int(0.22 * steps), 1), max(int(0.06 * steps), 1)
    shorter, end = max(int(0.03 * steps), 1), 0
    while end + window <= steps:
        end += window
        yield end - 1, window
        window = max(window - shorter, least)


def _move(
    iterate: Tensor,
    before: Tensor,
    slope: Tensor,
    length: Tensor,
    aims: Aims,
    threat: Threat,
    *,
    momentum: bool,
) -> Tensor:
    """Return the next iterates: a step along the gradient, some of it in the last direction."""
    clean = aims.spread(aims.batch.x).flatten(0, 1)
    here, last = iterate.flatten(0, 1), before.flatten(0, 1)
    direction = steepest(slope.flatten(0, 1), threat.norm)
    ahead = project(here + length.view(-1, 1, 1, 1) * direction, clean, threat)
    if momentum:
        ahead = here + (1 - _MOMENTUM) * (ahead - here) + _MOMENTUM * (here - last)
        ahead = project(ahead, clean, threat)
    return ahead.view(iterate.shape)


def _wide(values: Tensor) -> Tensor:
    """Return `(M, T)` shaped to broadcast over images."""
    return values[..., None, None, None]
