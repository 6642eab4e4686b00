"""One look at a classifier: loss, verdict and gradient of a batch, averaged over draws."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from superdef_bench.rng import Random
from superdef_bench.transform import Protected
from superdef_bench.types import AttackContext

Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]
Diversify = Callable[[Tensor, Random], Tensor]


class Look(NamedTuple):
    """Loss `(N,)`, whether each image is fooled `(N,)`, and the gradient `(N, C, H, W)`."""

    loss: Tensor
    fooled: Tensor
    gradient: Tensor | None


def _logits(model: nn.Module, x: Tensor, context: AttackContext) -> Tensor:
    """Return logits `(n, N, K)` over `context.eot` draws."""
    if isinstance(model, Protected):
        with model.draws(context.ids, context.eot if model.stochastic else 1, "attack"):
            logits: Tensor = model(x)
        return logits
    return torch.stack([model(x) for _ in range(context.eot)])


def look(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    context: AttackContext,
    loss: Loss,
    *,
    gradient: bool,
    change: Callable[[Tensor], Tensor] | None = None,
) -> Look:
    """Evaluate a batch, with the gradient of the loss or without.

    The gradient is that of the mean loss over draws (EOT; Athalye et al., ICML 2018). An image
    counts as fooled when more than half of its draws are. `change` is applied to the images
    first, and the gradient goes back through it.
    """
    with torch.set_grad_enabled(gradient):
        x = x.detach().requires_grad_(gradient)
        logits = _logits(model, x if change is None else change(x), context)
        values = loss(logits, y, context.target).mean(dim=0)  # (N,)
        slope = torch.autograd.grad(values.sum(), x)[0] if gradient else None
    fooled = context.fooled(logits.detach(), y).float().mean(dim=0) > 0.5
    return Look(values.detach(), fooled, slope)
