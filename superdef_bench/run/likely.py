"""How long a run will likely take: a few measured passes, and how many of them attacks need.

The plan's bound counts every pass that an attack may ask for. Three things make a run shorter, and
all three come from how the harness works:

- An attack that knows the defense leaves an image once it is fooled. Where that happens is not
  known beforehand; half of the passes is the mean of a step that may be any.
- An attack of many stages goes on only for images that withstand the first. That has as many passes
  as the attack says that it takes steps, a hundred where it says nothing: so AutoAttack begins.
- A backward pass is measured, not taken for two forward ones.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from superdef_bench.benchmark.built import Benchmark
from superdef_bench.core.threats import UNDEFENDED
from superdef_bench.core.transform import Gradient, Protected, shows_a_view
from superdef_bench.run.cells import Group, Plan
from superdef_bench.run.images import Images

_STAGE = 100  # passes of the first stage of a long attack that says nothing of its steps
_FOOLED = 0.5  # of the passes, until an image is fooled by what knows the defense
_TIMES = 2
_AT_ONCE = 16  # images of a measured pass: enough to fill the cores
_FEW = 2  # images of the pass that says how many of them a second has room for
_SECONDS = 1.0


@dataclass(frozen=True)
class Pass:
    """Measured seconds per image of a batch.

    Attributes:
        forward: Of a forward pass without a gradient.
        both: Of a forward pass and the backward pass behind it.
    """

    forward: float
    both: float


def measure_passes(benchmark: Benchmark) -> Mapping[str, Pass]:
    """Return the passes of every defense and of every source of examples, by name.

    One that fails on clean images is left out: its cells fail, and take no time.
    """
    found: dict[str, Pass] = {}
    views: list[tuple[str, Protected, Gradient | None, int]] = [
        *(
            (d.name, d.protected, d.gradient, d.limit or benchmark.limit)
            for d in benchmark.defenses
        ),
        *((s.name, s.protected, s.gradient, benchmark.limit) for s in benchmark.sources),
    ]
    for name, protected, gradient, most in views:
        if name in found:
            continue
        count = min(benchmark.config.batch_size, benchmark.limit, most, _AT_ONCE)
        x, y = benchmark.dataset.load(range(count))
        ids = torch.arange(count, device=benchmark.device)
        images = Images(x.to(benchmark.device), y.to(benchmark.device), ids)
        climbs = gradient is not None and not benchmark.answers_only
        measured = _measured(benchmark, name, protected, gradient or "exact", images, climbs)
        if measured is not None:
            found[name] = measured
    return found


def _measured(
    benchmark: Benchmark,
    name: str,
    protected: Protected,
    gradient: Gradient,
    images: Images,
    climbs: bool,
) -> Pass | None:
    """Return the passes of a network, on as many images as take a second; None where it fails."""
    # Attacks may see a cheaper view than what is scored.
    exact, view = protected.view("exact"), protected.view(gradient)
    try:
        with benchmark.watch.to(f"defense {name!r}"):
            few = images.take(torch.arange(min(_FEW, len(images)), device=images.x.device))
            start = time.perf_counter()
            _pass(exact, few, climb=False)
            each = (time.perf_counter() - start) / len(few)
            count = max(len(few), min(len(images), int(_SECONDS / max(each, 1e-9))))
            images = images.take(torch.arange(count, device=images.x.device))
            forward = _shortest(lambda: _pass(exact, images, climb=False))
            both = _shortest(lambda: _pass(view, images, climb=True)) if climbs else forward
    except KeyboardInterrupt:
        raise
    except BaseException:  # a plugin may raise anything, SystemExit too
        return None
    return Pass(forward / count, both / count)


def _shortest(work: Callable[[], None]) -> float:
    """Return the seconds of the quickest of a few calls; others on the machine only slow it."""
    seconds = []
    for _ in range(_TIMES):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _pass(view: Protected, images: Images, *, climb: bool) -> None:
    with torch.set_grad_enabled(climb), view.draws(images.ids, 1, "check", 0):
        x = images.x.detach().clone().requires_grad_(climb)
        logits = view(x)
        if climb:
            torch.autograd.grad(logits.logsumexp(dim=-1).sum(), x)
    if images.x.is_cuda:
        torch.cuda.synchronize()


def likely_seconds(
    benchmark: Benchmark, plan: Plan, group: Group, passes: Mapping[str, Pass]
) -> float:
    """Return the seconds that a group will likely take; 0 for one that is not run.

    An attack that does not say how many passes it needs counts as one of a hundred.
    """
    cell, own = group.cells[0], passes.get(group.defense.name)
    if own is None or cell.key in plan.refused:
        return 0.0
    scored = group.n * len(group.cells) * cell.draws * own.forward
    if group.clean:
        return scored
    attacked = own if group.source is None else passes.get(group.source.name)
    if attacked is None:
        return scored
    n, forwards, backwards = likely_passes(benchmark, group)
    made = n * _cost(forwards, backwards, attacked)
    return made if group.probe else made + scored


def likely_passes(benchmark: Benchmark, group: Group) -> tuple[int, float, float]:
    """Return how many images a group attacks, and the passes that each of them likely takes.

    Returns:
        Images, forwards and backwards; no images where examples are only replayed.
    """
    if group.clean:
        return 0, 0.0, 0.0
    forwards, backwards = group.passes or (_STAGE, _STAGE)
    if group.probe:
        return group.n, forwards, backwards
    assert group.attack is not None, "what is no probe and not clean is attacked"
    share, n, leaves = _FOOLED, group.n, True
    if group.source is not None:
        if group.defense.name != UNDEFENDED:
            return 0, 0.0, 0.0  # the examples were made for the row of the undefended classifier
        # Only what looks at its batch, such as the reference of AutoAttack, leaves images here.
        share, n, leaves = 1.0, group.made, group.attack.batch_dependent is not False
    elif (
        benchmark.config.eightbit
        or group.defense.stochastic
        or shows_a_view(group.defense.protected, group.gradient)
    ):
        # The whole budget: draws, rounding and a cheaper view undo what fools by a hair.
        share, leaves = 1.0, group.attack.batch_dependent is not False
    stage = getattr(group.attack.attack, "steps", None)
    stage = stage if isinstance(stage, int) and 0 < stage < _STAGE else _STAGE
    most = stage * len(group.cells) if leaves else math.inf
    eot = group.cells[0].eot
    return n, eot * min(forwards * share, most), eot * min(backwards * share, most)


def _cost(forwards: float, backwards: float, measured: Pass) -> float:
    """Return the seconds per image; a backward pass has a forward pass before it."""
    return max(forwards - backwards, 0.0) * measured.forward + backwards * measured.both
