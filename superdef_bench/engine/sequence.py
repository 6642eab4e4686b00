"""Attacks in a row, each on the images that the ones before left standing."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from superdef_bench.core.threats import Threat
from superdef_bench.core.types import AttackContext
from superdef_bench.engine.gradient import Look, look
from superdef_bench.engine.losses import margin

Part = Callable[[nn.Module, Tensor, Tensor, Threat, AttackContext], Tensor]


def in_sequence(
    parts: Mapping[str, tuple[Part, int]],
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    context: AttackContext,
) -> Iterator[tuple[str, Tensor]]:
    """Run the parts one after the other.

    In `verdict` a part gets what still stands, and an image falls only where a forward pass of
    its own, without a gradient, confirms it; the first part gets every image, so that one that is
    wrong from the start comes out of an attack as well. In `strength` every part gets every
    image, and the example that fools with the largest margin is kept.

    Args:
        parts: Name to attack and to the gradient steps that it may take.
        model: Classifier, in the gradient view to attack.
        x: Images `(N, C, H, W)` in [0, 1].
        y: Labels `(N,)`.
        threat: Ball to stay in.
        context: Goal, ids and random numbers.

    Yields:
        The name of a part and the best images so far, of the shape of `x`.
    """
    best, known = x.clone(), _judge(model, x, y, context)
    first, begun = True, 0
    for name, (attack, steps) in parts.items():
        chosen = torch.arange(len(x), device=x.device)
        if context.goal == "verdict" and not first:
            chosen = (~known.fooled).nonzero()[:, 0]
        if len(chosen):
            random = context.random.fork(name).take(chosen)
            own = replace(context.take(chosen), random=random, begun=begun)
            found = attack(model, x[chosen], y[chosen], threat, own)
            seen = _judge(model, found, y[chosen], own)
            better = _better(seen, known, chosen) | first
            best[chosen] = torch.where(better.view(-1, 1, 1, 1), found, best[chosen])
            loss = torch.where(better, seen.loss, known.loss[chosen])
            fooled = torch.where(better, seen.fooled, known.fooled[chosen])
            known = Look(
                known.loss.index_copy(0, chosen, loss),
                known.fooled.index_copy(0, chosen, fooled),
                None,
            )
        first, begun = False, begun + steps
        yield name, best.clone()


def _judge(model: nn.Module, x: Tensor, y: Tensor, context: AttackContext) -> Look:
    """Return the margin of each image, in a forward pass of its own."""
    return look(model, x, y, context, margin, gradient=False)


def _better(seen: Look, known: Look, chosen: Tensor) -> Tensor:
    loss, fooled = known.loss[chosen], known.fooled[chosen]
    return (seen.fooled & ~fooled) | ((seen.fooled == fooled) & (seen.loss > loss))
