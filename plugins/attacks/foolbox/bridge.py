"""Foolbox attacks on the harness's terms: what they see, what they aim at, what they return."""

from typing import Any

import torch
from torch import Tensor, nn

from superdef_bench import AttackContext, ConfigError, Protected


class _Seen(nn.Module):
    """The classifier as foolbox sees it: mean logits `(N, K)` over draws keyed by image."""

    def __init__(self, model: nn.Module, context: AttackContext) -> None:
        super().__init__()
        self._model, self._context = model, context

    def forward(self, x: Tensor) -> Tensor:
        model, context = self._model, self._context
        if not (isinstance(model, Protected) and model.stochastic):
            logits: Tensor = model(x)
            return logits
        with model.draws(context.ids, context.eot, "attack"):
            drawn: Tensor = model(x)
        return drawn.mean(dim=0)


def shown(model: nn.Module, x: Tensor) -> Any:
    """Return a classifier as foolbox wants it, on the device of the images `x`."""
    from foolbox.models.pytorch import PyTorchModel

    return PyTorchModel(model.eval(), bounds=(0, 1), device=x.device)


def run_foolbox(
    name: str,
    attack: Any,
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    context: AttackContext,
    *,
    targeted: bool,
) -> Tensor:
    """Run a foolbox attack that has no ball, and return images that keep the contract.

    An image for which foolbox gives no number stays clean; one that it fails to fool is what
    foolbox makes of it, and the harness judges.

    Args:
        name: Name of the attack, for messages.
        attack: A `foolbox.attacks.MinimizationAttack`; it must evaluate the whole batch each time.
        model: Classifier, in the gradient view to attack.
        x: Images `(N, C, H, W)` in [0, 1].
        y: Labels `(N,)`.
        context: Targets, ids and draws.
        targeted: Whether the attack can aim at a label.

    Raises:
        ConfigError: The attack cannot do what the context asks for.
    """
    if context.topk != 1:
        raise ConfigError(
            f"attack {name!r} moves the highest logit only, not the {context.topk} highest",
            hint="take an attack that does top-k; docs/attacks.md lists them",
        )
    if context.target is not None and not targeted:
        raise ConfigError(
            f"attack {name!r} cannot aim at a label",
            hint="take a targeted attack; docs/attacks.md lists them",
        )
    from foolbox.criteria import Misclassification, TargetedMisclassification

    criterion = (
        Misclassification(y)
        if context.target is None
        else TargetedMisclassification(context.target)
    )
    found: Tensor = attack.run(shown(_Seen(model, context), x), x, criterion).detach()
    number = torch.isfinite(found).flatten(1).all(dim=1).view(-1, 1, 1, 1)
    return torch.where(number, found.clamp(0.0, 1.0), x)
