"""Attacks that climb the loss by the sign of its gradient: FGSM, PGD and MI-FGSM."""

from torch import Tensor, nn

from superdef_bench import AttackContext, Norm, Threat, hookimpl
from superdef_bench.engine import ascend


class _Ascent:
    norms: frozenset[Norm] = frozenset({"linf", "l2"})
    kind = "budget"
    access = "gradient"
    batch_dependent = False
    steps = 1
    restarts = 1
    random_starts = False
    momentum: float | None = None

    def step_size(self, eps: float) -> float:
        return eps

    def passes(self, threat: Threat) -> tuple[int, int]:
        """Return the most forwards and backwards that one image needs."""
        return self.restarts * (self.steps + 1), self.restarts * self.steps

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, context: AttackContext
    ) -> Tensor:
        assert threat.eps is not None, "the harness gives budget attacks a radius"
        return ascend(
            model,
            x,
            y,
            threat,
            context,
            steps=self.steps,
            step_size=self.step_size(threat.eps),
            restarts=self.restarts,
            random_starts=self.random_starts,
            momentum=self.momentum,
        )


class Fgsm(_Ascent):
    """Fast gradient sign method (Goodfellow et al., ICLR 2015): one step of length eps.

    Norms: linf, l2 (along the normalised gradient). Loss: cross-entropy.
    """


class Pgd(_Ascent):
    """Projected gradient descent (Madry et al., ICLR 2018).

    Norms: linf, l2. Loss: cross-entropy.

    Args:
        steps: Gradient steps per restart.
        relative_step: Step length over eps; by default 2.5 / steps.
        restarts: Runs from random points of the ball.
        random_starts: Start at random points; else at the image itself.
    """

    def __init__(
        self,
        *,
        steps: int = 20,
        relative_step: float | None = None,
        restarts: int = 1,
        random_starts: bool = True,
    ) -> None:
        _check_counts(steps=steps, restarts=restarts)
        if relative_step is not None and relative_step <= 0:
            raise ValueError(f"relative_step is {relative_step}, take a number above 0")
        self.steps, self.restarts, self.random_starts = steps, restarts, random_starts
        self.relative_step = 2.5 / steps if relative_step is None else relative_step

    def step_size(self, eps: float) -> float:
        return self.relative_step * eps


class MiFgsm(_Ascent):
    """Momentum iterative FGSM (Dong et al., CVPR 2018).

    Norms: linf, l2. Loss: cross-entropy. Steps of eps / steps, so that the border is reached.

    Args:
        steps: Gradient steps.
        decay: Weight of the accumulated gradient, 1.0 in the paper.
    """

    def __init__(self, *, steps: int = 10, decay: float = 1.0) -> None:
        _check_counts(steps=steps)
        if decay < 0:
            raise ValueError(f"decay is {decay}, take 0 or more")
        self.steps, self.momentum = steps, decay

    def step_size(self, eps: float) -> float:
        return eps / self.steps


def _check_counts(**counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name} is {value}, take 1 or more")


@hookimpl
def register_attacks() -> dict[str, type[_Ascent]]:
    return {"fgsm": Fgsm, "pgd": Pgd, "mi_fgsm": MiFgsm}
