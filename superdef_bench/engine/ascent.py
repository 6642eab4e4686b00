"""Signed or normalised gradient ascent in a ball: FGSM, PGD, MI- and DI2-FGSM are its settings."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from superdef_bench.core.rng import Random
from superdef_bench.core.threats import Access, AttackKind, Norm, Threat
from superdef_bench.core.types import AttackContext
from superdef_bench.engine.gradient import Diversify, Look, Loss, look
from superdef_bench.engine.losses import cross_entropy
from superdef_bench.engine.search import Batch, Search

_TINY = 1e-12


def _length(values: Tensor, order: float) -> Tensor:
    """Return the norm of each image, shaped to broadcast, never 0."""
    flat = torch.linalg.vector_norm(values.flatten(1), ord=order, dim=1)
    return flat.clamp_min(_TINY).view(-1, 1, 1, 1)


def steepest(gradient: Tensor, norm: Norm) -> Tensor:
    """Return the unit step that raises a linear function most; none where it has no slope."""
    gradient = gradient.nan_to_num()
    return gradient.sign() if norm == "linf" else gradient / _length(gradient, 2)


def project(iterate: Tensor, x: Tensor, threat: Threat) -> Tensor:
    """Return the nearest point in the ball around `x`, then in [0, 1]."""
    assert threat.eps is not None, "an attack without a ball has nothing to project on"
    change = iterate - x
    if threat.norm == "linf":
        change = change.clamp(-threat.eps, threat.eps)
    else:
        change = change * (threat.eps / _length(change, 2)).clamp_max(1.0)
    return (x + change).clamp(0.0, 1.0)


def random_start(x: Tensor, threat: Threat, random: Random) -> Tensor:
    """Return a point drawn uniformly from the ball, cut to [0, 1]."""
    shape = x.shape[1:]
    assert threat.eps is not None, "an attack without a ball has no start in it"
    if threat.norm == "linf":
        noise = random.uniform(*shape, low=-threat.eps, high=threat.eps)
    else:
        direction = random.normal(*shape)
        radius = random.uniform(1, 1, 1) ** (1.0 / x[0].numel())
        noise = threat.eps * radius * direction / _length(direction, 2)
    return (x + noise).clamp(0.0, 1.0)


@dataclass(frozen=True)
class Region:
    """Which perturbations of a ball are allowed: all of them, or fewer.

    Attributes:
        steepest: Maps a gradient `(N, C, H, W)` and a norm to the unit step that raises a linear
            function most.
        project: Maps an iterate, the image and the threat to an allowed point near the iterate,
            in the ball and in [0, 1].
    """

    steepest: Callable[[Tensor, Norm], Tensor] = steepest
    project: Callable[[Tensor, Tensor, Threat], Tensor] = project


_WHOLE_BALL = Region()


def ascend(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    context: AttackContext,
    *,
    steps: int,
    step_size: float,
    restarts: int = 1,
    random_starts: bool = False,
    momentum: float | None = None,
    loss: Loss = cross_entropy,
    diversify: Diversify | None = None,
    region: Region = _WHOLE_BALL,
) -> Tensor:
    """Raise the loss by projected steps and return the best iterate of each image.

    Args:
        model: Classifier, in the gradient view to attack.
        x: Images `(N, C, H, W)` in [0, 1].
        y: Labels `(N,)`.
        threat: Ball to stay in.
        context: Goal, ids and random numbers.
        steps: Gradient steps per restart.
        step_size: Length of a step in the norm of the threat.
        restarts: Runs from a fresh start.
        random_starts: Start at a random point of the ball; else at the image.
        momentum: Decay of an accumulated L1-normalised gradient; None for none.
        loss: What to maximise.
        diversify: Changes the images before each gradient is taken; the iterate itself is then
            judged by a forward pass of its own.
        region: Which perturbations are allowed.

    Returns:
        Adversarial images of the shape of `x`.
    """
    search = Search(x, y, context)
    for restart in range(restarts):
        batch, taken = search.batch(), restart * steps
        iterate = batch.x
        if random_starts:
            random = batch.context.random.fork(f"restart {restart}")
            start = random_start(batch.x, threat, random)
            iterate = start if region is _WHOLE_BALL else region.project(start, batch.x, threat)
        velocity = torch.zeros_like(iterate)
        for step in range(steps):
            if not len(batch.y):
                return search.best
            seen = _look(model, iterate, batch, loss, diversify, taken + step)
            assert seen.gradient is not None
            clean = not step and not random_starts
            search.update(batch, taken + step, iterate, seen, clean=clean)
            direction = seen.gradient
            if momentum is not None:
                velocity = momentum * velocity + direction / _length(direction, 1)
                direction = velocity
            moved = iterate + step_size * region.steepest(direction, threat.norm)
            iterate = region.project(moved, batch.x, threat)
            batch, (iterate, velocity) = search.pack(batch, step, iterate, velocity)
        if len(batch.y):
            seen = look(model, iterate, batch.y, batch.context, loss, gradient=False)
            search.update(batch, taken + steps, iterate, seen, clean=False)
    return search.best


def _look(
    model: nn.Module,
    iterate: Tensor,
    batch: Batch,
    loss: Loss,
    diversify: Diversify | None,
    step: int,
) -> Look:
    """Return the loss and verdict of the iterate, and the gradient to follow from it."""
    context = batch.context
    if diversify is None:
        return look(model, iterate, batch.y, context, loss, gradient=True)

    def change(images: Tensor) -> Tensor:
        return diversify(images, context.random.fork(f"diversity {step}"))

    slope = look(model, iterate, batch.y, context, loss, gradient=True, change=change)
    seen = look(model, iterate, batch.y, context, loss, gradient=False)
    return seen._replace(gradient=slope.gradient)


class AscentAttack:
    """Projected gradient ascent; a subclass sets what `ascend` takes, and its step length."""

    norms: frozenset[Norm] = frozenset({"linf", "l2"})
    kind = AttackKind.BUDGET
    access = Access.GRADIENT
    batch_dependent = False
    targeted = True
    top_k = True
    steps = 1
    restarts = 1
    random_starts = False
    momentum: float | None = None
    diversify: Diversify | None = None
    region: Region = _WHOLE_BALL

    def step_size(self, eps: float) -> float:
        """Return the length of a step in the ball of radius `eps`."""
        return eps

    def loss(self, context: AttackContext) -> Loss:
        """Return what is maximised."""
        return cross_entropy

    @property
    def loss_name(self) -> str:
        """What tables call that; empty where a subclass maximises something else unnamed."""
        return "ce" if type(self).loss is AscentAttack.loss else ""

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
            region=self.region,
        )


def check_counts(**counts: int) -> None:
    """Raise ValueError unless every number is 1 or more."""
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name} is {value}, take 1 or more")
