"""What the harness checks of everything that a plugin returns. No plugin grades itself."""

import torch
from torch import Tensor, nn

from superdef_bench.core.errors import ContractError
from superdef_bench.core.threats import NORMS, Access, AttackKind, Threat
from superdef_bench.core.transform import InputTransform
from superdef_bench.core.types import Attack, Defense, distance

_ROUNDING = 1e-6


def check_attack_facts(owner: str, attack: Attack) -> None:
    """Raise ContractError unless an attack says what it is: norms, kind and access."""
    norms = getattr(attack, "norms", None)
    if not isinstance(norms, frozenset | set) or not norms or not norms <= set(NORMS):
        raise ContractError(
            f"{owner} has norms {norms!r}", hint=f"a frozenset of {', '.join(NORMS)}"
        )
    for name, known in (("kind", AttackKind), ("access", Access)):
        value = getattr(attack, name, None)
        if value not in tuple(known):
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
    if isinstance(defense, InputTransform):
        _check_attack_view(owner, defense, defense.attack_view())


def _check_attack_view(owner: str, defense: InputTransform, view: object) -> None:
    if not isinstance(view, InputTransform):
        raise ContractError(
            f"{owner} has an attack_view {type(view).__name__}", hint="return an InputTransform"
        )
    if view.stochastic and not defense.stochastic:
        raise ContractError(
            f"{owner} draws nothing, and its attack_view does",
            hint="set stochastic = False for the view",
        )
    own = {id(tensor) for tensor in (*defense.parameters(), *defense.buffers())}
    if any(id(tensor) not in own for tensor in (*view.parameters(), *view.buffers())):
        raise ContractError(
            f"{owner} has an attack_view with weights of its own",
            hint="keep them in a submodule of the transform: records are found by its weights",
        )


def plain_tensor(owner: str, returned: object) -> Tensor:
    """Return what a plugin returned as a plain tensor: a subclass could answer as it likes.

    Raises:
        ContractError: It is no tensor, or one of a class that torch cannot see through.
    """
    if type(returned) is Tensor:
        return returned
    if not isinstance(returned, Tensor):
        raise ContractError(f"{owner} returned a {type(returned).__name__}, not a tensor")
    with torch._C.DisableTorchFunctionSubclass():
        plain = returned.as_subclass(Tensor)
    if type(plain) is not Tensor:
        raise ContractError(
            f"{owner} returned a {type(returned).__name__}, which is no plain tensor",
            hint="return a torch.Tensor",
        )
    return plain


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
    x_adv = plain_tensor(owner, x_adv)
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
