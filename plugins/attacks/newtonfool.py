"""NewtonFool, by the paper."""

import torch
from torch import Tensor, nn

from superdef_bench import AttackContext, ConfigError, Norm, Threat, hookimpl
from superdef_bench.engine import look, steepest

_TINY = 1e-12


class NewtonFool:
    """NewtonFool (Jang et al., ACSAC 2017): Newton steps on the probability of the label.

    Norm: l2. Minimal, untargeted. A step would bring a linear probability to 1 / K, and is no
    longer than `step_size` times the image; an image that is fooled stays where it is. Own code:
    foolbox 3.3.4 divides by the fourth power of the gradient's length where the paper has the
    second, and leaves the image far behind.

    Args:
        steps: Most steps.
        step_size: Longest step over the L2 norm of the image; 0.01 in the paper.
    """

    norms: frozenset[Norm] = frozenset({"l2"})
    kind = "minimal"
    access = "gradient"
    batch_dependent = False

    def __init__(self, *, steps: int = 100, step_size: float = 0.01) -> None:
        if steps < 1:
            raise ValueError(f"steps is {steps}, take 1 or more")
        if step_size <= 0:
            raise ValueError(f"step_size is {step_size}, take a number above 0")
        self.steps, self.step_size = steps, step_size

    def passes(self, threat: Threat) -> tuple[int, int]:
        """Return the most forwards and backwards that one image needs."""
        return self.steps, self.steps

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, context: AttackContext
    ) -> Tensor:
        if context.topk != 1 or context.target is not None:
            raise ConfigError(
                "attack 'newtonfool' can neither aim at a label nor do top-k",
                hint="docs/attacks.md lists what can",
            )
        found, rows = x.clone(), torch.arange(len(x), device=x.device)
        longest = self.step_size * torch.linalg.vector_norm(x.flatten(1), dim=1)  # (N,)
        for step in range(self.steps):
            part = context.take(rows)
            seen = look(model, found[rows], y[rows], part, _below_chance, gradient=True)
            part.record(step, torch.arange(len(rows), device=x.device), seen.fooled)
            left = ~seen.fooled
            rows = rows[left]
            if not len(rows):
                break
            assert seen.gradient is not None
            slope = seen.gradient[left].nan_to_num(0.0, 0.0, 0.0)
            size = torch.linalg.vector_norm(slope.flatten(1), dim=1).clamp_min(_TINY)
            length = torch.minimum(longest[rows], -seen.loss[left].nan_to_num() / size).view(
                -1, 1, 1, 1
            )
            found[rows] = (found[rows] + length * steepest(slope, "l2")).clamp(0.0, 1.0)
        return found


def _below_chance(logits: Tensor, y: Tensor, target: Tensor | None) -> Tensor:
    """Return how far the label's probability is below 1 / K, `(n, N)`."""
    label = y.expand(logits.shape[:-1])[..., None]
    return 1 / logits.shape[-1] - logits.softmax(dim=-1).gather(-1, label)[..., 0]


@hookimpl
def register_attacks() -> dict[str, type[NewtonFool]]:
    return {"newtonfool": NewtonFool}
