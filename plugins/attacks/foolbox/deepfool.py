"""DeepFool by foolbox."""

from torch import Tensor, nn

from superdef_bench import AttackContext, Norm, Threat

from .bridge import run_foolbox


class DeepFool:
    """DeepFool (Moosavi-Dezfooli et al., CVPR 2016): the smallest perturbation that fools.

    Norms: linf, l2. Minimal: it has no ball, the harness measures what it needed. Untargeted.

    Args:
        steps: Most steps.
        candidates: Classes to consider, by logit.
        overshoot: Share by which the border is overshot; 0.02 in the paper, half of it here, so
            that the distance on a linear classifier is right within 2 %.
    """

    norms: frozenset[Norm] = frozenset({"linf", "l2"})
    kind = "minimal"
    access = "gradient"

    def __init__(self, *, steps: int = 50, candidates: int = 10, overshoot: float = 0.01) -> None:
        if steps < 1 or candidates < 2 or overshoot < 0:
            raise ValueError("take steps from 1, candidates from 2 and overshoot from 0")
        self.steps, self.candidates, self.overshoot = steps, candidates, overshoot

    def passes(self, threat: Threat) -> tuple[int, int]:
        """Return the most forwards and backwards that one image needs."""
        looks = self.steps * (self.candidates - 1)
        return 1 + looks, looks

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, context: AttackContext
    ) -> Tensor:
        from foolbox.attacks.deepfool import L2DeepFoolAttack, LinfDeepFoolAttack

        kinds = {"linf": LinfDeepFoolAttack, "l2": L2DeepFoolAttack}
        attack = kinds[threat.norm](
            steps=self.steps, candidates=self.candidates, overshoot=self.overshoot
        )
        return run_foolbox("deepfool", attack, model, x, y, context, targeted=False)
