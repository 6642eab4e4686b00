"""Auto-PGD on the probability margin, then on the nearest classes: `apgd_pm`."""

from functools import partial

from torch import Tensor, nn

from superdef_bench import AttackContext, Norm, Threat, hookimpl
from superdef_bench.engine import (
    Part,
    check_counts,
    climb_near_classes,
    climb_probabilities,
    in_sequence,
)

_CANDIDATES = 100  # classes whose nearness is looked at


class ApgdPm:
    """Auto-PGD on the margin of probabilities, then on the nearest classes.

    Norms: linf, l2. Untargeted and targeted. Two runs climb the margin between the probabilities
    of the best other class and of the label (PMA; Xie et al., CVPR 2025): one pushes the label
    down first, the other the best other class up. What still stands is attacked by targeted
    Auto-PGD on the DLR loss (Croce and Hein, ICML 2020), on the margin with fewer than 4 classes,
    at classes ordered by how near a linear model puts them (MALT; Melamed et al., NeurIPS 2024).
    An image leaves as soon as it is fooled. It is no AutoAttack: no FAB, no Square. Own code.

    Args:
        steps: Gradient steps of each run, 2 or more.
        targets: Classes to aim at; with K classes at most K - 1.
    """

    norms: frozenset[Norm] = frozenset({"linf", "l2"})
    kind = "budget"
    access = "gradient"
    batch_dependent = False
    targeted = True
    loss_name = "probability margin, targeted dlr"

    def __init__(self, *, steps: int = 100, targets: int = 9) -> None:
        check_counts(targets=targets)
        if steps < 2:
            raise ValueError(f"steps is {steps}, take 2 or more")
        self.steps, self.targets = steps, targets

    def passes(self, threat: Threat) -> tuple[int, int]:
        """Return the most forwards and backwards that one image of a large batch needs."""
        order = max(_CANDIDATES, self.targets)
        backwards = (2 + self.targets) * self.steps + order
        # A run looks at its end too, those of the margin at the start of either half; the images
        # are judged at the start and after each part, and asked once for the likely classes.
        return backwards + self.targets + 2 * 2 + 4 + 1, backwards

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, context: AttackContext
    ) -> Tensor:
        down, up = (
            partial(climb_probabilities, first=first, steps=self.steps) for first in ("down", "up")
        )
        aimed = partial(climb_near_classes, steps=self.steps, targets=self.targets)
        parts: dict[str, tuple[Part, int]] = {
            "down": (down, self.steps),
            "up": (up, self.steps),
            "aimed": (aimed, self.targets * self.steps),
        }
        *_, (_, found) = in_sequence(parts, model, x, y, threat, context)
        return found


@hookimpl
def register_attacks() -> dict[str, type[ApgdPm]]:
    return {"apgd_pm": ApgdPm}
