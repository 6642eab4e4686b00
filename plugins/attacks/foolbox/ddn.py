"""DDN by foolbox."""

from torch import Tensor, nn

from superdef_bench import AttackContext, Norm, Threat

from .bridge import run_foolbox


class Ddn:
    """Decoupled direction and norm (Rony et al., CVPR 2019): gradient steps on a shrinking sphere.

    Norm: l2. Minimal, untargeted or targeted. An image that it fails to fool stays clean.

    Args:
        steps: Gradient steps.
        init_epsilon: Radius of the first sphere.
        gamma: Share by which the radius shrinks when the image is fooled, and grows when not.
    """

    norms: frozenset[Norm] = frozenset({"l2"})
    kind = "minimal"
    access = "gradient"
    batch_dependent = False
    targeted = True

    def __init__(self, *, steps: int = 100, init_epsilon: float = 1.0, gamma: float = 0.05) -> None:
        if steps < 1:
            raise ValueError(f"steps is {steps}, take 1 or more")
        if init_epsilon <= 0:
            raise ValueError(f"init_epsilon is {init_epsilon}, take a number above 0")
        if not 0 < gamma < 1:
            raise ValueError(f"gamma is {gamma}, take a number between 0 and 1")
        self.steps, self.init_epsilon, self.gamma = steps, init_epsilon, gamma

    def passes(self, threat: Threat) -> tuple[int, int]:
        """Return the most forwards and backwards that one image needs."""
        return self.steps, self.steps

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, context: AttackContext
    ) -> Tensor:
        from foolbox.attacks.ddn import DDNAttack

        attack = DDNAttack(steps=self.steps, init_epsilon=self.init_epsilon, gamma=self.gamma)
        return run_foolbox("ddn", attack, model, x, y, context, targeted=True)
