"""HopSkipJump."""

from torch import Tensor, nn

from superdef_bench import AttackContext, Norm, Threat, hookimpl
from superdef_bench.engine import hop_skip_jump


class HopSkipJump:
    """HopSkipJump (Chen et al., S&P 2020): the smallest perturbation found by labels alone.

    Norms: linf, l2. Minimal. Starts from noise, coarse or fine; an image for which none of 30
    noise images will do stays clean, as most do when a target is asked for. Own code: foolbox
    3.3.4 scales each image's step by the whole batch, and stops where one image has no start. An
    image sits on the border of its class, where rounding decides: it may depend on its batch.

    Args:
        queries: Forward passes per image; the paper goes up to 25000.
        evaluations: Passes of the first gradient estimate; they grow with the root of the step.
    """

    norms: frozenset[Norm] = frozenset({"linf", "l2"})
    kind = "minimal"
    access = "labels"
    targeted = True
    top_k = True

    def __init__(self, *, queries: int = 2000, evaluations: int = 100) -> None:
        if queries < 200:
            raise ValueError(f"queries is {queries}, take 200 or more")
        if evaluations < 2:
            raise ValueError(f"evaluations is {evaluations}, take 2 or more")
        self.queries, self.evaluations = queries, evaluations

    def passes(self, threat: Threat) -> tuple[int, int]:
        """Return the most forwards and backwards that one image needs."""
        return self.queries, 0

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, context: AttackContext
    ) -> Tensor:
        return hop_skip_jump(
            model,
            x,
            y,
            threat.norm,
            context,
            queries=self.queries,
            evaluations=self.evaluations,
        )


@hookimpl
def register_attacks() -> dict[str, type[HopSkipJump]]:
    return {"hopskipjump": HopSkipJump}
