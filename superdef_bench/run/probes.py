"""Probes of a gradient: small attacks and questions whose answers are records of their own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from superdef_bench.benchmark.built import Benchmark, BuiltAttack, BuiltDefense
from superdef_bench.core.calls import reason
from superdef_bench.core.errors import CellError, InterruptError, UnavailableError
from superdef_bench.core.rng import Random
from superdef_bench.core.threats import UNDEFENDED, Threat
from superdef_bench.core.transform import Gradient, InputTransform, Protected
from superdef_bench.core.types import Attack, AttackContext
from superdef_bench.engine import AscentAttack, Look, Loss, Search, cross_entropy, dlr, look, margin
from superdef_bench.engine.ascent import project, steepest
from superdef_bench.engine.finite_difference import disagreement
from superdef_bench.run.images import Images

_STEPS = 20
_CORNERS = 10
_SAME = 1e-3  # of the largest logit, that two kernels may differ by


class _Climb(AscentAttack):
    def __init__(self, steps: int, *, margin_loss: bool = False) -> None:
        self.steps, self.random_starts = steps, steps > 1
        self._margin = margin_loss

    def step_size(self, eps: float) -> float:
        return eps if self.steps == 1 else 2.5 * eps / self.steps

    def loss(self, context: AttackContext) -> Loss:
        return partial(margin, topk=context.topk) if self._margin else cross_entropy


class _Noise(AscentAttack):
    """The best of a few corners of the ball, without any gradient."""

    def passes(self, threat: Threat) -> tuple[int, int]:
        return _CORNERS, 0

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, context: AttackContext
    ) -> Tensor:
        assert threat.eps is not None
        search = Search(x, y, context)
        batch = search.batch()
        for number in range(_CORNERS):
            random = batch.context.random.fork(f"corner {number}")
            way = steepest(random.normal(*x.shape[1:]), threat.norm)
            corner = project(batch.x + threat.eps * way, batch.x, threat)
            seen = look(model, corner, batch.y, batch.context, cross_entropy, gradient=False)
            search.update(batch, number, corner, seen, clean=False)
            batch, _ = search.pack(batch, number)
            if not len(batch.y):
                break
        return search.best


def probing_attacks(
    benchmark: Benchmark, defense: BuiltDefense
) -> Iterator[tuple[BuiltAttack, int]]:
    """Yield the attacks that probe a defense, each with its draws per gradient."""
    config = benchmark.config
    eot = config.eot if defense.stochastic else 1
    yield _built(benchmark, "noise", _Noise()), eot
    if defense.gradient is None:
        return
    yield _built(benchmark, "one_step", _Climb(1)), eot
    yield _built(benchmark, "many_steps", _Climb(_STEPS)), eot
    yield _built(benchmark, "margin", _Climb(_STEPS, margin_loss=True)), eot
    yield _built(benchmark, "unbounded", _Climb(_STEPS), whole=True), eot
    if defense.stochastic:
        for name, draws in (("eot_1", 1), ("eot_k", eot), ("eot_2k", 2 * eot)):
            yield _built(benchmark, name, _Climb(_STEPS)), draws


def _built(
    benchmark: Benchmark, name: str, attack: AscentAttack, *, whole: bool = False
) -> BuiltAttack:
    config = benchmark.config
    return BuiltAttack(
        name=name,
        attack=cast(Attack, attack),
        arguments={"probe": name},
        fingerprint=name,
        norm="linf" if whole else config.norm,
        eps=("1",) if whole else config.eps[-1:],
        rungs=(),
        limit=None,
        counted=False,
    )


@dataclass(frozen=True)
class Question:
    """What is asked of a classifier, image by image.

    Attributes:
        ask: Returns which images get a bad answer, bool `(N,)`.
        passes: Forwards and backwards per image.
        most: Images that are enough.
    """

    ask: Callable[[Protected, Gradient, Images], Tensor]
    passes: tuple[int, int]
    most: int = 64


def questions(benchmark: Benchmark, defense: BuiltDefense) -> Iterator[str]:
    """Yield the names of the questions that make sense for a defense."""
    yield "repeat"
    if defense.gradient is None or benchmark.answers_only:
        return
    yield "asked"
    yield "ce_gradient"
    if benchmark.task.num_classes >= 4:
        yield "dlr_gradient"
    if defense.differentiable and defense.name != UNDEFENDED:
        yield "finite_difference"


def _answer(protected: Protected, images: Images, *, gradient: bool) -> Tensor:
    """Return logits `(N, K)` of the same draw every time."""
    with torch.set_grad_enabled(gradient), protected.draws(images.ids, 1, "check", 0):
        x = images.x.detach().clone().requires_grad_(gradient)
        logits: Tensor = protected(x)[0]
    return logits.detach()


def _differs(first: Tensor, second: Tensor) -> Tensor:
    away = (first - second).abs().amax(dim=1)
    return ~(away <= _SAME * first.abs().amax(dim=1).clamp_min(1.0))


def _repeat(protected: Protected, gradient: Gradient, images: Images) -> Tensor:
    answers = [_answer(protected, images, gradient=False) for _ in range(2)]
    return _differs(*answers)


def _asked(protected: Protected, gradient: Gradient, images: Images) -> Tensor:
    view = protected.view(gradient)
    return _differs(_answer(view, images, gradient=False), _answer(view, images, gradient=True))


def _unusable(loss: Loss, protected: Protected, gradient: Gradient, images: Images) -> Tensor:
    """Return where the gradient at the image is zero or not finite."""
    random = Random(0, "probe", images.ids)
    context = AttackContext.start(images.ids, random)
    seen: Look = look(protected.view(gradient), images.x, images.y, context, loss, gradient=True)
    assert seen.gradient is not None
    flat = seen.gradient.flatten(1)
    return ~torch.isfinite(flat).all(dim=1) | (flat == 0).all(dim=1)


def _finite_difference(protected: Protected, gradient: Gradient, images: Images) -> Tensor:
    stages: list[nn.Module] = [*protected.transforms] or [protected]
    assert all(isinstance(s, InputTransform) for s in stages) or len(stages) == 1
    bad = torch.zeros(len(images), dtype=torch.bool, device=images.x.device)
    for stage in stages:
        bad |= disagreement(stage, images.x, images.ids)
    return bad


QUESTIONS = {
    "repeat": Question(_repeat, (2, 0)),
    "asked": Question(_asked, (2, 0)),
    "ce_gradient": Question(partial(_unusable, cross_entropy), (1, 1)),
    "dlr_gradient": Question(partial(_unusable, dlr), (1, 1)),
    "finite_difference": Question(_finite_difference, (18, 6), most=16),
}


def ask(
    name: str, protected: Protected, gradient: Gradient, images: Images
) -> tuple[list[bool], str | None]:
    """Return which images get a bad answer to a question, and what it raised, if it did."""
    try:
        return QUESTIONS[name].ask(protected, gradient, images).tolist(), None
    except (KeyboardInterrupt, InterruptError):
        raise
    except UnavailableError as error:
        raise CellError(error.message, hint=error.hint) from error
    except BaseException as error:  # a plugin may raise anything, SystemExit too
        return [True] * len(images), reason(error)
