"""How long pipelines take, in turns, so that a busy machine meets all of them alike."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from superdef_bench.measure.modes import Pipeline

Key = TypeVar("Key")

PERCENTILES = (10, 50, 90, 99)
_STABLE = 0.1  # two passes in a row that differ by less have warmed up
_WARM_UP = 20  # passes at most
_SHARE = 0.1  # of the slowest pass, that a fast pipeline may fill with passes of its own
_TURN = 10  # passes in a turn at most
_L2 = 256 * 2**20  # bytes, more than the second-level cache of any GPU


@dataclass(frozen=True)
class Lap:
    """Seconds of one pass: through the defense, and through the classifier too."""

    defense: float
    pipeline: float


@dataclass
class Laps:
    """All passes of one pipeline.

    Attributes:
        first: The very first call, with whatever is compiled, allocated or looked up there.
        last: The last one of the warm-up.
        turns: The passes of each round after that.
        memory: On a GPU, most bytes allocated during a pass, with weights and images.
    """

    first: Lap
    last: Lap
    turns: list[list[Lap]] = field(default_factory=list)
    memory: int | None = None

    def seconds(self, scope: str) -> list[float]:
        """Return the time of every pass; of the last warm-up where there is no other."""
        laps = [lap for turn in self.turns for lap in turn] or [self.last]
        return [getattr(lap, scope) for lap in laps]

    def milliseconds(self, scope: str) -> dict[str, float]:
        """Return the percentiles of a pass, `p10` to `p99`."""
        values = np.percentile(self.seconds(scope), PERCENTILES)
        return {f"p{p}": float(1000 * value) for p, value in zip(PERCENTILES, values, strict=True)}

    def ratio(self, other: "Laps", scope: str) -> float | None:
        """Return how many times as long as another one: the median over the rounds of both."""
        pairs = zip(self.turns, other.turns, strict=False)
        middle = [
            [float(np.median([getattr(lap, scope) for lap in turn])) for turn in pair]
            for pair in pairs
        ] or [[getattr(self.last, scope), getattr(other.last, scope)]]
        ratios = [own / reference for own, reference in middle if reference > 0]
        return float(np.median(ratios)) if ratios else None


class Stopwatch:
    """Times passes: by the clock, on a GPU by its own events, with a cold L2 cache."""

    def __init__(self, device: torch.device) -> None:
        self.gpu = device.type == "cuda"
        self._flush = torch.empty(_L2 if self.gpu else 0, dtype=torch.uint8, device=device)

    def lap(self, pipeline: Pipeline, images: Tensor) -> Lap:
        """Run one pass and return its seconds."""
        with pipeline.running(images.device):
            return self._events(pipeline, images) if self.gpu else self._clock(pipeline, images)

    def _clock(self, pipeline: Pipeline, images: Tensor) -> Lap:
        start = time.perf_counter()
        defended = pipeline.defend(images)
        middle = time.perf_counter()
        pipeline.classify(defended)
        return Lap(middle - start, time.perf_counter() - start)

    def _events(self, pipeline: Pipeline, images: Tensor) -> Lap:
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(3)]
        self._flush.zero_()
        marks[0].record()
        defended = pipeline.defend(images)
        marks[1].record()
        pipeline.classify(defended)
        marks[2].record()
        torch.cuda.synchronize()
        return Lap(marks[0].elapsed_time(marks[1]) / 1e3, marks[0].elapsed_time(marks[2]) / 1e3)

    def warm_up(self, pipeline: Pipeline, images: Tensor, *, seconds: float) -> Laps:
        """Run passes until two in a row take as long, or `seconds` are over; at least one."""
        if self.gpu:
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
        first = self.lap(pipeline, images)
        laps = Laps(first, first)
        spent = 0.0 if pipeline.mode.fuses else first.pipeline  # compilers only work once
        for _ in range(_WARM_UP):
            if spent > seconds:
                break
            lap = self.lap(pipeline, images)
            spent += lap.pipeline
            change = abs(lap.pipeline - laps.last.pipeline)
            laps.last = lap
            if change < _STABLE * lap.pipeline:
                break
        if self.gpu:
            held = pipeline.held + images.nbytes
            laps.memory = torch.cuda.max_memory_allocated() - before + held
        return laps


def take_turns(
    pipelines: Mapping[Key, Pipeline],
    images: Tensor,
    laps: Mapping[Key, Laps],
    stopwatch: Stopwatch,
    *,
    rounds: int,
    seconds: float,
    slow: float,
) -> None:
    """Add rounds to the laps of each pipeline; in a round each has a turn.

    A pipeline far faster than the slowest has several passes in its turn. Each begins a round
    in turn.

    Args:
        pipelines: By any key.
        images: What they take.
        laps: What the warm-up of each found; rounds are added.
        stopwatch: Of the device.
        rounds: At most.
        seconds: After which no round begins; there is one at least.
        slow: Seconds of a pass above which a pipeline keeps what its warm-up found.
    """
    names = [name for name in pipelines if laps[name].last.pipeline <= slow]
    taken = {name: pipelines[name].prepare(images) for name in names}
    slowest = max((laps[name].last.pipeline for name in names), default=0.0)
    start = time.perf_counter()
    for number in range(rounds if names else 0):
        if number and time.perf_counter() - start > seconds:
            break
        first = number % len(names)
        for name in [*names[first:], *names[:first]]:
            fitting = _SHARE * slowest / max(laps[name].last.pipeline, 1e-9)
            passes = int(min(max(1.0, fitting), _TURN))
            turn = [stopwatch.lap(pipelines[name], taken[name]) for _ in range(passes)]
            laps[name].turns.append(turn)


_SIDE = 512
_ROUNDS = 9


@torch.no_grad()
def reference_ms(device: torch.device) -> float:
    """Return the median milliseconds of a 512x512 product in float32, a few ms in all.

    Measured beside latencies, so that those of two runs compare although the machine was busier
    during one of them.
    """
    numbers = torch.Generator().manual_seed(0)
    matrix = torch.rand(_SIDE, _SIDE, generator=numbers).to(device)
    taken = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        matrix @ matrix
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(1000 * (time.perf_counter() - start))
    return sorted(taken)[_ROUNDS // 2]


def timed_columns(milliseconds: Mapping[str, float], n: int) -> dict[str, Any]:
    """Return the columns of a cost row that a clock fills, for passes of `n` images."""
    return {
        "latency_ms": {name: round(value, 4) for name, value in milliseconds.items()},
        "throughput": round(1000 * n / milliseconds["p50"], 3),
    }
