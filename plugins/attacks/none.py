"""No attack."""

from torch import Tensor, nn

from superdef_bench import AttackContext, Norm, Threat, hookimpl


class NoAttack:
    """The clean images, copied."""

    norms: frozenset[Norm] = frozenset({"linf", "l2"})
    kind = "budget"
    access = "none"
    batch_dependent = False

    def passes(self, threat: Threat) -> tuple[int, int]:
        return 0, 0

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, context: AttackContext
    ) -> Tensor:
        return x.clone()


@hookimpl
def register_attacks() -> dict[str, type[NoAttack]]:
    return {"none": NoAttack}
