"""The base of attacks that climb a loss by its gradient."""

from torch import Tensor, nn

from superdef_bench.engine.ascent import ascend
from superdef_bench.engine.gradient import Diversify, Loss
from superdef_bench.engine.losses import cross_entropy
from superdef_bench.types import AttackContext, Norm, Threat


class AscentAttack:
    """Projected gradient ascent; a subclass sets what `ascend` takes, and its step length."""

    norms: frozenset[Norm] = frozenset({"linf", "l2"})
    kind = "budget"
    access = "gradient"
    batch_dependent = False
    targeted = True
    top_k = True
    steps = 1
    restarts = 1
    random_starts = False
    momentum: float | None = None
    diversify: Diversify | None = None

    def step_size(self, eps: float) -> float:
        """Return the length of a step in the ball of radius `eps`."""
        return eps

    def loss(self, context: AttackContext) -> Loss:
        """Return what is maximised."""
        return cross_entropy

    def passes(self, threat: Threat) -> tuple[int, int]:
        """Return the most forwards and backwards that one image needs."""
        looks = self.steps * (1 if self.diversify is None else 2) + 1
        return self.restarts * looks, self.restarts * self.steps

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
            loss=self.loss(context),
            diversify=self.diversify,
        )


def check_counts(**counts: int) -> None:
    """Raise ValueError unless every number is 1 or more."""
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name} is {value}, take 1 or more")
