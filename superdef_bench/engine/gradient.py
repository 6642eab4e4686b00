"""One look at a classifier: loss, verdict and gradient of a batch, averaged over draws."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from superdef_bench.core.rng import Random
from superdef_bench.core.transform import Protected, ScoresOnly
from superdef_bench.core.types import AttackContext

_AT_ONCE = 256  # images in a forward pass of a random defense, where one draw has fewer

Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]
Diversify = Callable[[Tensor, Random], Tensor]


class Look(NamedTuple):
    """Loss `(N,)`, whether each image is fooled `(N,)`, and the gradient `(N, C, H, W)`."""

    loss: Tensor
    fooled: Tensor
    gradient: Tensor | None


def _logits(model: nn.Module, x: Callable[[], Tensor], context: AttackContext) -> Iterator[Tensor]:
    """Yield logits `(n, N, K)`, in all of `context.eot` draws, as many at once as memory bears.

    One draw is enough where nothing is random.
    """
    if not isinstance(model, Protected | ScoresOnly):
        for _ in range(context.eot):
            yield model(x())[None]
        return
    left = context.eot if model.stochastic else 1
    most = max(1, _AT_ONCE // max(1, len(context.ids)))
    while left:
        few = min(left, most)
        with model.draws(context.ids, few, "attack"):
            logits: Tensor = model(x())
        yield logits
        left -= few


def look(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    context: AttackContext,
    loss: Loss,
    *,
    gradient: bool,
    change: Callable[[Tensor], Tensor] | None = None,
    aim: Tensor | None = None,
) -> Look:
    """Evaluate a batch, with the gradient of the loss or without.

    The gradient is that of the mean loss over draws (EOT; Athalye et al., ICML 2018). An image
    counts as fooled when more than half of its draws are.

    Args:
        model: Classifier.
        x: Images `(N, C, H, W)`.
        y: Labels `(N,)`.
        context: Goal and ids of these images.
        loss: Of the logits.
        gradient: Whether to return one.
        change: Applied to the images first; the gradient goes back through it.
        aim: Labels that the loss is steered to, `(N,)`; by default the targets of the context.
            They change the loss, not what counts as fooled.
    """
    aim = context.target if aim is None else aim
    with torch.set_grad_enabled(gradient):
        x = x.detach().requires_grad_(gradient)
        values, slope, fooled = [], None, []
        for logits in _logits(model, lambda: x if change is None else change(x), context):
            part = loss(logits.float(), y, aim)  # (n, N)
            values.append(part.detach())
            fooled.append(context.fooled(logits.detach(), y))
            if gradient:
                found = torch.autograd.grad(part.sum(), x)[0]
                slope = found if slope is None else slope + found
    draws = sum(len(part) for part in values)
    wrong = torch.cat(fooled).float().mean(dim=0) > 0.5
    mean = slope if slope is None or draws == 1 else slope / draws
    return Look(torch.cat(values).mean(dim=0), wrong, mean)
