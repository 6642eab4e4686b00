"""The attacks that AutoAttack is made of: `apgd_ce`, `apgd_dlr`, `apgd_t`, `fab`, `fab_t`."""

import warnings

import torch
from torch import Tensor, nn

from superdef_bench import AttackContext, Norm, Threat
from superdef_bench.engine import (
    Batch,
    Loss,
    auto_pgd,
    check_counts,
    cross_entropy,
    dlr,
    fab,
    logits_of,
)

TARGETS = 9
_ASKED = 8  # images
_EXACT = 1e-5


def warn_of_probabilities(model: nn.Module, batch: Batch) -> None:
    """Warn where a classifier answers with probabilities: a ratio of them is no ratio of logits."""
    few = torch.arange(min(_ASKED, len(batch.y)), device=batch.y.device)
    answers = logits_of(model, batch.take(few))
    sums, low, high = answers.sum(dim=1), float(answers.min()), float(answers.max())
    if low >= 0 and high <= 1 and float((sums - 1).abs().max()) < _EXACT:
        warnings.warn(
            f"the classifier answers with probabilities ({low:.2g} to {high:.2g}, and each of "
            f"{len(answers)} answers sums to 1): the DLR loss needs logits, and is weaker here",
            stacklevel=2,
        )


class _Apgd:
    """What Auto-PGD's forms share."""

    norms: frozenset[Norm] = frozenset({"linf", "l2"})
    kind = "budget"
    access = "gradient"
    batch_dependent = False
    loss: Loss = staticmethod(dlr)
    targets = 0

    def __init__(self, *, steps: int = 100, restarts: int = 1) -> None:
        check_counts(steps=steps, restarts=restarts)
        self.steps, self.restarts = steps, restarts

    def passes(self, threat: Threat) -> tuple[int, int]:
        """Return the most forwards and backwards that one image of a large batch needs.

        What fills up the last pass of a step counts, too.
        """
        runs = self.restarts * max(1, self.targets)
        # Which classes are likely, and whether the answers are logits.
        asked = (self.restarts if self.targets else 0) + (self.loss is dlr)
        return runs * (self.steps + 1) + asked, runs * self.steps

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, context: AttackContext
    ) -> Tensor:
        if self.loss is dlr:
            warn_of_probabilities(model, Batch(x, y, context, None))
        return auto_pgd(
            model,
            x,
            y,
            threat,
            context,
            loss=self.loss,
            steps=self.steps,
            restarts=self.restarts,
            targets=self.targets,
        )


class ApgdCe(_Apgd):
    """Auto-PGD on the cross-entropy (Croce and Hein, ICML 2020): finds its own step length.

    Norms: linf, l2. Targeted, top-k. Part of AutoAttack. Own code.

    Args:
        steps: Gradient steps per restart.
        restarts: Runs from random points at the border of the ball.
    """

    targeted = top_k = True
    loss = staticmethod(cross_entropy)
    loss_name = "ce"


class ApgdDlr(_Apgd):
    """Auto-PGD on the difference of logits ratio (Croce and Hein, ICML 2020).

    Norms: linf, l2. Untargeted and targeted; needs 4 classes and logits: of probabilities the
    ratio says nothing. Part of AutoAttack's versions `plus` and `rand`. Own code.

    Args:
        steps: Gradient steps per restart.
        restarts: Runs from random points at the border of the ball.
    """

    targeted = True
    least_classes = 4
    loss_name = "dlr"


class ApgdT(_Apgd):
    """Auto-PGD on the targeted DLR loss, aimed at each of the likeliest other classes.

    Croce and Hein, ICML 2020. Norms: linf, l2. Needs 4 classes and logits. Fooled is any wrong
    class, in a targeted benchmark its target, at which alone it then aims. All targets of an
    image run side by side; with K classes there are at most K - 1. Part of AutoAttack. Own code.

    Args:
        steps: Gradient steps per restart and target.
        restarts: Runs from random points at the border of the ball.
        targets: Classes to aim at.
    """

    least_classes = 4
    targeted = True
    loss_name = "targeted dlr"

    def __init__(self, *, steps: int = 100, restarts: int = 1, targets: int = TARGETS) -> None:
        super().__init__(steps=steps, restarts=restarts)
        check_counts(targets=targets)
        self.targets = targets


class _Fab:
    """What the forms of FAB share."""

    norms: frozenset[Norm] = frozenset({"linf", "l2"})
    kind = "budget"
    access = "gradient"
    batch_dependent = False
    targeted = True
    loss_name = "boundary"
    nearest = False

    def __init__(self, *, steps: int = 100, restarts: int = 1, targets: int = TARGETS) -> None:
        check_counts(steps=steps, restarts=restarts, targets=targets)
        self.steps, self.restarts, self.targets = steps, restarts, targets

    def passes(self, threat: Threat) -> tuple[int, int]:
        """Return the most forwards and backwards that one image of a large batch needs."""
        runs = self.restarts * self.targets
        return runs * (self.steps + 1) + self.restarts, runs * self.steps

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, context: AttackContext
    ) -> Tensor:
        return fab(
            model,
            x,
            y,
            threat,
            context,
            targets=self.targets,
            steps=self.steps,
            restarts=self.restarts,
            nearest=self.nearest,
        )


class FabT(_Fab):
    """Fast adaptive boundary attack aimed at each of the likeliest other classes.

    Croce and Hein, ICML 2020. Norms: linf, l2. Fooled is any wrong class, in a targeted benchmark
    its target, at which alone it then aims. It looks for the smallest perturbation and stops once
    inside the ball; a step is one forward and one backward pass. Part of AutoAttack. Own code.

    Args:
        steps: Steps per restart and target.
        restarts: Runs: the first from the image, others from random points.
        targets: Classes to aim at; with K classes at most K - 1.
    """


class Fab(_Fab):
    """Fast adaptive boundary attack, untargeted: each step goes to the nearest boundary.

    Croce and Hein, ICML 2020. Norms: linf, l2. Part of AutoAttack's version `plus`. Own code.

    Args:
        steps: Steps per restart.
        restarts: Runs: the first from the image, others from random points.
        targets: Classes whose boundaries are looked at in every step, the likeliest others.
    """

    nearest = True
