"""A gradient held against finite differences."""

import torch
from torch import Tensor, nn

from superdef_bench.core.rng import Random
from superdef_bench.core.transform import InputTransform

# A small step shows a wrong slope; a rounding is flat there and shows only at a large one, at
# which an honest function may bend.
_PROBE_LIMITS = {2e-5: 0.1, 1e-2: 0.9}
_PROBE_DIRECTIONS = 3


def gradient_errors(module: nn.Module, x: Tensor, ids: Tensor, step: float) -> Tensor:
    """Return how far autograd is from a finite difference, 0 (agrees) to 1 (nothing in common).

    That is |a - f| / (|a| + |f|), for directional derivatives a by autograd and f by central
    differences. Images are moved off the borders of [0, 1] and off ties first, where neither is
    defined.

    Args:
        module: A transform, or a classifier.
        x: Images `(N, C, H, W)`; a few are enough.
        ids: Key of the directions and draws of each image, int64 `(N,)`.
        step: Half the distance of the difference.

    Returns:
        `(directions, N)`.
    """
    numbers = Random(0, "gradient probe", ids)
    point = 0.1 + 0.8 * x + numbers.uniform(*x.shape[1:], low=-0.01, high=0.01)

    def run(images: Tensor) -> Tensor:
        if isinstance(module, InputTransform):
            out: Tensor = module(images, Random(0, "gradient probe draw", ids))
        else:
            out = module(images)
        return out.flatten(1)

    errors = []
    for _ in range(_PROBE_DIRECTIONS):
        direction = numbers.normal(*x.shape[1:])
        with torch.enable_grad():
            leaf = point.detach().requires_grad_()
            out = run(leaf)  # (N, D)
            weight = numbers.normal(out.shape[1])
            value = (weight * out).sum()
            slope = (
                torch.autograd.grad(value, leaf, allow_unused=True)[0]
                if value.requires_grad
                else None
            )
        exact = torch.zeros(len(x), device=x.device)
        if slope is not None:
            exact = (slope * direction).flatten(1).sum(dim=1)
        with torch.no_grad():
            change = run(point + step * direction) - run(point - step * direction)
            difference = (weight * change).sum(dim=1) / (2 * step)
        size = exact.abs() + difference.abs()
        errors.append(torch.where(size > 0, (exact - difference).abs() / size, 0.0))
    return torch.stack(errors).nan_to_num(1.0)


def disagreement(module: nn.Module, x: Tensor, ids: Tensor) -> Tensor:
    """Return for which images autograd disagrees with a finite difference, bool `(N,)`.

    For most directions, at a small step, which shows a wrong slope, or at a large one, which shows
    a rounding. Arguments as in `gradient_errors`.
    """
    found = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    for step, limit in _PROBE_LIMITS.items():
        found |= gradient_errors(module, x, ids, step).median(dim=0).values > limit
    return found


def gradient_suspicion(module: nn.Module, x: Tensor) -> str:
    """Return why the gradient of a module that claims one is not to be trusted, or nothing."""
    for step, limit in _PROBE_LIMITS.items():
        ids = torch.arange(len(x), device=x.device)
        error = float(gradient_errors(module, x, ids, step).median())
        if error > limit:
            return (
                f"autograd disagrees with a finite difference at step {step:g} (error {error:.2f}, "
                f"the limit is {limit:g}): a detach, no_grad or rounding is hidden in it"
            )
    return ""
