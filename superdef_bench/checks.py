"""What the harness checks of everything that a plugin returns. No plugin grades itself."""

import torch
from torch import Tensor, nn

from superdef_bench.errors import ContractError
from superdef_bench.rng import Random
from superdef_bench.transform import InputTransform
from superdef_bench.types import (
    ATTACK_ACCESS,
    ATTACK_KINDS,
    NORMS,
    Attack,
    Defense,
    Threat,
    distance,
)

_ROUNDING = 1e-6

# A small step shows a wrong slope; a rounding is flat there and shows only at a large one, at
# which an honest function may bend.
_PROBE_LIMITS = {2e-5: 0.1, 1e-2: 0.9}
_PROBE_DIRECTIONS = 3


def check_attack_facts(owner: str, attack: Attack) -> None:
    """Raise ContractError unless an attack says what it is: norms, kind and access."""
    norms = getattr(attack, "norms", None)
    if not isinstance(norms, frozenset | set) or not norms or not norms <= set(NORMS):
        raise ContractError(
            f"{owner} has norms {norms!r}", hint=f"a frozenset of {', '.join(NORMS)}"
        )
    for name, known in (("kind", ATTACK_KINDS), ("access", ATTACK_ACCESS)):
        value = getattr(attack, name, None)
        if value not in known:
            raise ContractError(f"{owner} has {name} {value!r}", hint=f"one of {', '.join(known)}")


def check_defense_facts(owner: str, defense: Defense) -> None:
    """Raise ContractError unless a defense says what it is and can be called."""
    for name in ("differentiable", "stochastic"):
        if not isinstance(getattr(defense, name, None), bool):
            raise ContractError(f"{owner} does not say whether it is {name}", hint="True or False")
    if isinstance(defense, nn.Module) and "_modules" not in vars(defense):
        raise ContractError(
            f"{owner} is not set up", hint="call super().__init__() first in __init__"
        )
    if isinstance(defense, InputTransform) and not hasattr(type(defense), "transform"):
        raise ContractError(f"{owner} has no transform", hint="write transform(self, x)")


def check_range(owner: str, what: str, images: Tensor) -> None:
    """Raise ContractError unless images are in [0, 1]; NaN is judged elsewhere, per image."""
    low, high = float(images.amin()), float(images.amax())
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise ContractError(
            f"{owner} returned {what} in [{low:.6g}, {high:.6g}], the limit is [0, 1]",
            hint="clamp(0, 1) what you return",
        )


def check_examples(owner: str, x: Tensor, before: Tensor, x_adv: object, threat: Threat) -> Tensor:
    """Return adversarial images that keep the contract of an attack.

    Args:
        owner: Name of the attack, for the message.
        x: Images that the attack was given.
        before: A copy of them from before the call.
        x_adv: What it returned.
        threat: Ball that a budget attack must stay in; eps None for no ball.

    Raises:
        ContractError: Not a tensor, wrong shape or type, not finite, out of [0, 1], out of the
            ball, or `x` was changed.
    """
    if not isinstance(x_adv, Tensor):
        raise ContractError(f"{owner} returned a {type(x_adv).__name__}, not a tensor")
    if not torch.equal(x, before):
        raise ContractError(f"{owner} changed its input images", hint="clone them first")
    if x_adv.shape != x.shape:
        raise ContractError(
            f"{owner} returned shape {tuple(x_adv.shape)} for {tuple(x.shape)}",
            hint="return one image for each that came in",
        )
    if x_adv.dtype != x.dtype:
        raise ContractError(f"{owner} returned {x_adv.dtype} for {x.dtype}")
    x_adv = x_adv.detach()
    if not bool(torch.isfinite(x_adv).all()):
        raise ContractError(f"{owner} returned NaN or infinite pixels")
    check_range(owner, "pixels", x_adv)
    measured = float(distance(x, x_adv, threat.norm).max())
    if measured > threat.limit:
        raise ContractError(
            f"{owner} left the {threat.norm} ball: distance {measured:.8g}, "
            f"the limit is {threat.limit:.8g}",
            hint="project onto the ball before you return",
        )
    return x_adv


def check_logits(owner: str, logits: Tensor, n: int, num_classes: int) -> Tensor:
    """Return the logits `(n, num_classes)` of one draw.

    Args:
        owner: Name of the defense, for the message.
        logits: `(1, n, num_classes)`.
        n: Images.
        num_classes: Classes.

    Raises:
        ContractError: They have another shape.
    """
    if tuple(logits.shape) != (1, n, num_classes):
        raise ContractError(
            f"{owner} returned logits {tuple(logits.shape[1:])}, "
            f"the contract is {(n, num_classes)}",
            hint="a defense keeps batch and classes",
        )
    return logits[0]


def check_defended(owner: str, images: Tensor, n: int, channels: int) -> None:
    """Raise ContractError unless a transform returned `n` images of as many channels."""
    if images.ndim != 4 or images.shape[0] != n or images.shape[1] != channels:
        raise ContractError(
            f"{owner} returned images {tuple(images.shape)}, "
            f"the contract is ({n}, {channels}, H, W)",
            hint="a transform keeps batch and channels",
        )
    check_range(owner, "images", images)


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
