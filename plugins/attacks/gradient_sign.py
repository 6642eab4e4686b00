"""Attacks that climb the loss by the sign of its gradient: `fgsm`, `bim`, `pgd`, `mi_fgsm`."""

from functools import partial
from typing import Literal

from superdef_bench import AttackContext, hookimpl
from superdef_bench.engine import AscentAttack, Loss, check_counts, cross_entropy, dlr, margin


class Fgsm(AscentAttack):
    """Fast gradient sign method (Goodfellow et al., ICLR 2015): one step of length eps.

    Norms: linf, l2 (along the normalised gradient). Kind: budget. Loss: cross-entropy.
    """


class Bim(AscentAttack):
    """Basic iterative method, or I-FGSM (Kurakin et al., 2017): small steps from the image.

    Norms: linf, l2. Kind: budget. Loss: cross-entropy. Steps of eps / steps, so that the border
    is reached.

    Args:
        steps: Gradient steps.
    """

    def __init__(self, *, steps: int = 10) -> None:
        check_counts(steps=steps)
        self.steps = steps

    def step_size(self, eps: float) -> float:
        return eps / self.steps


class Pgd(AscentAttack):
    """Projected gradient descent (Madry et al., ICLR 2018).

    Norms: linf, l2. Kind: budget.

    Args:
        steps: Gradient steps per restart.
        relative_step: Step length over eps; by default 2.5 / steps.
        restarts: Runs from random points of the ball.
        random_starts: Start at random points; else at the image itself.
        loss: `ce`: cross-entropy. `margin`: highest other logit minus that of the label (Carlini
            and Wagner, S&P 2017). `dlr`: the margin over the spread of the logits (Croce and
            Hein, ICML 2020); needs 4 classes and top-1.
        scale: Divides the logits before the cross-entropy; for classifiers whose large logits
            leave it no gradient.
    """

    def __init__(
        self,
        *,
        steps: int = 20,
        relative_step: float | None = None,
        restarts: int = 1,
        random_starts: bool = True,
        loss: Literal["ce", "margin", "dlr"] = "ce",
        scale: float = 1.0,
    ) -> None:
        check_counts(steps=steps, restarts=restarts)
        if relative_step is not None and relative_step <= 0:
            raise ValueError(f"relative_step is {relative_step}, take a number above 0")
        if loss not in ("ce", "margin", "dlr"):
            raise ValueError(f"loss is {loss!r}, take ce, margin or dlr")
        if scale <= 0 or (loss != "ce" and scale != 1):
            raise ValueError(f"scale is {scale}, take a number above 0, and loss ce")
        self.steps, self.restarts, self.random_starts = steps, restarts, random_starts
        self.relative_step = 2.5 / steps if relative_step is None else relative_step
        self._loss, self._scale = loss, scale
        self.least_classes = 4 if loss == "dlr" else 2
        self.top_k = loss != "dlr"

    def step_size(self, eps: float) -> float:
        return self.relative_step * eps

    def loss(self, context: AttackContext) -> Loss:
        if self._loss == "ce":
            return partial(cross_entropy, scale=self._scale)
        return dlr if self._loss == "dlr" else partial(margin, topk=context.topk)

    @property
    def loss_name(self) -> str:
        return self._loss


class MiFgsm(Bim):
    """Momentum iterative FGSM (Dong et al., CVPR 2018).

    Norms: linf, l2. Kind: budget. Loss: cross-entropy. Steps of eps / steps.

    Args:
        steps: Gradient steps.
        decay: Weight of the accumulated gradient, 1.0 in the paper.
    """

    def __init__(self, *, steps: int = 10, decay: float = 1.0) -> None:
        super().__init__(steps=steps)
        if decay < 0:
            raise ValueError(f"decay is {decay}, take 0 or more")
        self.momentum = decay


@hookimpl
def register_attacks() -> dict[str, type[AscentAttack]]:
    return {"fgsm": Fgsm, "bim": Bim, "pgd": Pgd, "mi_fgsm": MiFgsm}
