"""Square Attack."""

from torch import Tensor, nn

from superdef_bench import AttackContext, Norm, Threat, hookimpl
from superdef_bench.engine import square_search


class Square:
    """Square Attack (Andriushchenko et al., ECCV 2020): random search by squares, scores only.

    Norms: linf, l2. Untargeted (margin loss), targeted (cross-entropy), top-k. Own code: squares
    are drawn per image, and cost as many queries as it says, the start included.

    Args:
        queries: Forward passes per image; in `verdict` an image that is fooled takes no more.
        p_init: Share of the pixels in the first squares; it is halved nine times on the way.
    """

    norms: frozenset[Norm] = frozenset({"linf", "l2"})
    kind = "budget"
    access = "scores"
    batch_dependent = False
    targeted = True
    top_k = True

    def __init__(self, *, queries: int = 1000, p_init: float = 0.8) -> None:
        if queries < 1:
            raise ValueError(f"queries is {queries}, take 1 or more")
        if not 0 < p_init <= 1:
            raise ValueError(f"p_init is {p_init}, take a number above 0, at most 1")
        self.queries, self.p_init = queries, p_init

    def passes(self, threat: Threat) -> tuple[int, int]:
        """Return the most forwards and backwards that one image needs."""
        return self.queries, 0

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, context: AttackContext
    ) -> Tensor:
        return square_search(model, x, y, threat, context, queries=self.queries, p_init=self.p_init)


@hookimpl
def register_attacks() -> dict[str, type[Square]]:
    return {"square": Square}
