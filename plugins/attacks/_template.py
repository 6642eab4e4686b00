"""A few gradient steps: replace this line by what your attack does."""

import torch
from torch import Tensor, nn

from superdef_bench import AttackContext, Norm, Threat, hookimpl
from superdef_bench.engine import cross_entropy, look, project, steepest


class MyAttack:
    """Steps along the gradient of the loss (replace: one line, with its paper).

    Args:
        steps: Gradient steps (replace: your arguments).
    """

    norms: frozenset[Norm] = frozenset({"linf", "l2"})
    kind = "budget"  # or minimal, or corruption
    access = "gradient"  # or scores, labels, none
    batch_dependent = False  # leave it out if an image's result may depend on its batch
    targeted = top_k = True  # leave out what your attack cannot follow: `context.target`, `.topk`

    def __init__(self, *, steps: int = 8) -> None:
        if steps < 1:
            raise ValueError(f"steps is {steps}, take 1 or more")
        self.steps = steps

    def passes(self, threat: Threat) -> tuple[int, int]:
        """Return the most forwards and backwards that one image needs."""
        return self.steps, self.steps

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, context: AttackContext
    ) -> Tensor:
        """Return images like `x` `(N, C, H, W)`, in [0, 1] and in the ball of `threat`."""
        assert threat.eps is not None, "a budget attack has a ball"
        step_size = 2.5 * threat.eps / self.steps
        iterate = x
        for _ in range(self.steps):
            seen = look(model, iterate, y, context, cross_entropy, gradient=True)
            assert seen.gradient is not None, "it was asked for"
            moved = iterate + step_size * steepest(seen.gradient, threat.norm)
            # `seen.fooled` is `context.fooled(logits, y)`: it knows a target and top-k.
            stays = seen.fooled & (context.goal == "verdict")
            iterate = torch.where(stays.view(-1, 1, 1, 1), iterate, project(moved, x, threat))
        return iterate


@hookimpl
def register_attacks() -> dict[str, type[MyAttack]]:
    return {"my_attack": MyAttack}
