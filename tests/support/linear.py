"""A linear classifier, whose best adversarial examples are known, and an attack on it."""

import torch
from torch import Tensor, nn

from superdef_bench import AttackContext, Random, Threat
from superdef_bench.core.threats import Goal, Norm
from superdef_bench.core.types import Attack


class Linear(nn.Module):
    """Two classes with logits (0, w.(x - 0.5) + b) on images of any shape."""

    def __init__(self, weight: Tensor, bias: float) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias

    def forward(self, x: Tensor) -> Tensor:
        score = ((x - 0.5) * self.weight).flatten(1).sum(dim=1) + self.bias
        return torch.stack([torch.zeros_like(score), score], dim=1)


def linear(count: int = 5) -> tuple[Linear, Tensor, Tensor]:
    """Return a linear classifier, images near grey, and labels that it gets right."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 8, 8, generator=generator)
    x = 0.5 + 0.05 * torch.randn(count, 3, 8, 8, generator=generator)
    model = Linear(weight, 0.3).eval()
    return model, x, model(x).argmax(dim=1)


def attack(
    method: Attack,
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    norm: Norm,
    eps: float | None,
    goal: Goal = "strength",
) -> Tensor:
    ids = torch.arange(len(x))
    context = AttackContext.start(ids, Random(0, "test", ids), goal=goal)
    return method(model, x, y, Threat(norm, eps), context)
