"""HopSkipJump (Chen et al., S&P 2020): along the border of a class, by labels only."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from superdef_bench.core.rng import Random
from superdef_bench.core.threats import Norm
from superdef_bench.core.types import AttackContext, distance

_TINY = 1e-12
_STARTS = 30  # noise images to start from
_HALVINGS = 20  # of a step that leaves the wrong class
_AT_ONCE = 64  # images in a forward pass, where the batch is smaller
_GRAINS = 6  # sizes of the noise to start from
_SIGNS = 32  # directions drawn at once
_NUMBERS = 2**18  # numbers drawn at once, per image


class _Oracle:
    """Says which images are fooled, and nothing else."""

    def __init__(self, model: nn.Module, y: Tensor, context: AttackContext) -> None:
        self._model, self._y, self._context = model, y, context

    def take(self, rows: Tensor) -> "_Oracle":
        return _Oracle(self._model, self._y[rows], self._context.take(rows))

    def __call__(self, images: Tensor) -> Tensor:
        """Return bool `(k, N)` for `(k, N, C, H, W)`, or `(N,)` for `(N, C, H, W)`."""
        if images.ndim == 4:
            return self(images[None])[0]
        parts = []
        for few in images.split(max(_AT_ONCE // images.shape[1], 1)):
            logits: Tensor = self._model(few.flatten(0, 1))
            parts.append(self._context.fooled(logits.unflatten(0, few.shape[:2]), self._y))
        return torch.cat(parts)


@torch.no_grad()
def hop_skip_jump(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    norm: Norm,
    context: AttackContext,
    *,
    queries: int,
    evaluations: int,
) -> Tensor:
    """Return the nearest fooling images found; an image without a start stays clean.

    A start is noise, coarse or fine, that the classifier takes for another class.

    Args:
        model: Classifier; only its labels are used.
        x: Images `(N, C, H, W)` in [0, 1].
        y: Labels `(N,)`.
        norm: What to minimise.
        context: What counts as fooled, and random numbers.
        queries: Forward passes per image.
        evaluations: Passes of the first gradient estimate; they grow with the root of the step.
    """
    oracle, random, best = _Oracle(model, y, context), context.random, x.clone()
    start, found = _starts(oracle, x, random.fork("start"))
    rows = (found & ~oracle(x)).nonzero()[:, 0]
    if not len(rows):
        return best
    oracle, x, random = oracle.take(rows), x[rows], random.take(rows)
    halvings = _precision(x, norm)
    iterate = _to_border(oracle, x, start[rows], norm, halvings)
    nearest, used = iterate, _STARTS + 1 + halvings
    for step in range(1, queries):
        count = min(int(evaluations * math.sqrt(step)), queries - used - _HALVINGS - halvings)
        if count < 2:
            break
        away = distance(x, iterate, norm).to(x.dtype)
        reach = 0.1 * torch.ones_like(away) if step == 1 else away / x[0].numel()
        slope = _slope(oracle, iterate, reach, count, norm, random.fork(f"step {step}"))
        iterate = _jump(oracle, iterate, slope, away / math.sqrt(step))
        iterate = _to_border(oracle, x, iterate, norm, halvings)
        closer = distance(x, iterate, norm) < distance(x, nearest, norm)
        nearest = torch.where(_wide(closer), iterate, nearest)
        used += count + _HALVINGS + halvings
    best[rows] = nearest
    return best


def _wide(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def _starts(oracle: _Oracle, x: Tensor, random: Random) -> tuple[Tensor, Tensor]:
    """Return noise images and which of them are fooled, `(N,)`."""
    start, found = x, torch.zeros(len(x), dtype=torch.bool, device=x.device)
    for number in range(_STARTS):
        size = [max(side >> (number % _GRAINS), 1) for side in x.shape[-2:]]
        noise = functional.interpolate(random.uniform(x.shape[1], *size), size=x.shape[-2:])
        fresh = oracle(noise) & ~found
        start, found = torch.where(_wide(fresh), noise, start), found | fresh
    return start, found


def _precision(x: Tensor, norm: Norm) -> int:
    """Return how often the way to the border is halved: to d**-1.5 of it, in linf to d**-2."""
    return math.ceil({"l2": 1.5, "linf": 2.0}[norm] * math.log2(x[0].numel()))


def _to_border(oracle: _Oracle, x: Tensor, far: Tensor, norm: Norm, halvings: int) -> Tensor:
    """Return fooling images as near to `x` as the way from `far` allows."""
    away = distance(x, far, norm).to(x.dtype)
    low, high = torch.zeros_like(away), torch.ones_like(away)

    def between(share: Tensor) -> Tensor:
        if norm == "l2":
            return torch.lerp(x, far, _wide(share))
        limit = _wide(share * away)
        return torch.maximum(torch.minimum(far, x + limit), x - limit)

    border = far
    for _ in range(halvings):
        middle = (low + high) / 2
        images = between(middle)
        fooled = oracle(images)
        low, high = torch.where(fooled, low, middle), torch.where(fooled, middle, high)
        border = torch.where(_wide(fooled), images, border)
    return border


def _slope(
    oracle: _Oracle, iterate: Tensor, reach: Tensor, count: int, norm: Norm, random: Random
) -> Tensor:
    """Return the direction into the wrong class, estimated from `count` labels around.

    It has length 1, in linf it is the sign of the estimate.
    """
    total, mean = torch.zeros_like(iterate), torch.zeros_like(iterate)
    every = torch.zeros(len(iterate), device=iterate.device)
    step = _wide(reach) / math.sqrt(iterate[0].numel())
    at_once = max(min(_SIGNS, _NUMBERS // iterate[0].numel()), 1)  # large images: fewer
    for done in range(0, count, at_once):
        signs = _signs(random, min(at_once, count - done), iterate)
        moved = (iterate + step * signs).clamp(0.0, 1.0)
        direction = moved - iterate
        answer = oracle(moved).to(iterate.dtype) * 2 - 1  # (k, N)
        total = total + (answer[..., None, None, None] * direction).sum(dim=0)
        mean = mean + direction.sum(dim=0)
        every = every + answer.sum(dim=0)
    every = every / count
    # Where all answers agree there is nothing to compare with.
    baseline = torch.where(every.abs() == 1, 0.0, every)
    slope = total - _wide(baseline) * mean
    if norm == "linf":
        return slope.sign()
    return slope / _wide(torch.linalg.vector_norm(slope.flatten(1), dim=1).clamp_min(_TINY))


def _signs(random: Random, count: int, like: Tensor) -> Tensor:
    """Return random signs `(count, N, C, H, W)`.

    The paper draws from the sphere. Signs have the same covariance and take a bit each, where
    numbers keyed by image would cost more than the classifier.
    """
    shape, size = like.shape[1:], like[0].numel()
    words = random.bits(count * math.ceil(size / 32)).unflatten(1, (count, -1))  # (N, k, W)
    bits = (words[..., None] >> torch.arange(32, device=like.device)) & 1
    return (bits.flatten(2)[..., :size].to(like.dtype) * 2 - 1).unflatten(2, shape).transpose(0, 1)


def _jump(oracle: _Oracle, iterate: Tensor, slope: Tensor, length: Tensor) -> Tensor:
    """Return the end of a step, halved until it stays in the wrong class; else no step."""
    landed, open_ = iterate, torch.ones(len(iterate), dtype=torch.bool, device=iterate.device)
    for _ in range(_HALVINGS):
        there = (iterate + _wide(length) * slope).clamp(0.0, 1.0)
        fooled = oracle(there) & open_
        landed, open_ = torch.where(_wide(fooled), there, landed), open_ & ~fooled
        length = length / 2
    return landed
