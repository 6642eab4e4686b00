"""Ascent on the margin between probabilities, then on each class in the order of their nearness."""

import math
from functools import partial
from typing import Literal

from torch import Tensor, nn

from superdef_bench.core.threats import Threat
from superdef_bench.core.types import AttackContext
from superdef_bench.engine.apgd import climb, random_surface, split_runs
from superdef_bench.engine.losses import Push, probability_margin, targeted_ratio
from superdef_bench.engine.search import Search
from superdef_bench.engine.targets import near_classes

_SIDE_BY_SIDE = 3  # targets of an image at once in `verdict`: later ones meet fewer images


def climb_probabilities(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    context: AttackContext,
    *,
    first: Literal["down", "up"],
    steps: int,
) -> Tensor:
    """Climb one of the two probabilities, then from the best point their margin.

    Xie et al., "Towards Million-Scale Adversarial Robustness Evaluation With Stronger Individual
    Attacks" (CVPR 2025). Steps fall from 2 eps to 0 along a cosine, in each half anew.

    Args:
        model: Classifier, in the gradient view to attack.
        x: Images `(N, C, H, W)` in [0, 1].
        y: Labels `(N,)`.
        threat: Ball to stay in.
        context: Goal, ids and random numbers.
        first: Push the label's probability `down` first, or that of the best other class `up`.
        steps: Gradient steps, half of them for either.

    Returns:
        Adversarial images of the shape of `x`.
    """
    search = Search(x, y, context)
    halves: tuple[tuple[Push, int], ...] = ((first, steps // 2), ("both", steps - steps // 2))
    taken = 0
    for push, few in halves:
        for aims in split_runs(model, search.batch(), None):
            if taken:
                assert aims.batch.rows is not None, "images taken apart know their places"
                start = search.best[aims.batch.rows][:, None]
            else:
                start = random_surface(aims, threat, aims.batch.context.random)
            loss = partial(probability_margin, push=push)
            pace = partial(_cosine, steps=few)
            climb(model, search, aims, start, threat, loss, few, taken=taken, pace=pace)
        taken += few
    return search.best


def climb_near_classes(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    context: AttackContext,
    *,
    steps: int,
    targets: int,
) -> Tensor:
    """Aim Auto-PGD at the nearest classes, a few at a time.

    Arguments and result as in `climb_probabilities`; `targets` are the classes per image. With a
    target in the context there is no other.
    """
    search = Search(x, y, context)
    whole = search.batch()
    if context.target is None:
        order = near_classes(model, whole, targets, threat.norm)
    else:
        order = context.target[:, None]
    few = _SIDE_BY_SIDE if context.goal == "verdict" else targets
    for number, labels in enumerate(order.split(few, dim=1)):
        standing = search.batch()
        rows = slice(None) if standing.rows is None else standing.rows
        for aims in split_runs(model, standing, labels[rows]):
            random = aims.batch.context.random.fork(f"targets {number}")
            start = random_surface(aims, threat, random)
            taken = number * steps
            climb(model, search, aims, start, threat, targeted_ratio, steps, taken=taken)
    return search.best


def _cosine(step: int, *, steps: int) -> float:
    return (1 + math.cos(math.pi * step / steps)) / 2
