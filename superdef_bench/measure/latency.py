"""What pipelines cost side by side: counts, and time on this machine."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from superdef_bench.core.calls import reason
from superdef_bench.core.errors import ConfigError, DataError, SuperdefError
from superdef_bench.core.threats import UNDEFENDED
from superdef_bench.core.transform import Protected
from superdef_bench.io.machine import fix_numerics, machine, out_of_memory, versions
from superdef_bench.io.progress import progress_bar
from superdef_bench.measure.modes import Mode, Pipeline
from superdef_bench.measure.roofline import Ceilings, measure_ceilings, signs_of_a_busy_machine
from superdef_bench.measure.timing import Laps, Stopwatch, take_turns, timed_columns
from superdef_bench.measure.work import Work, cost_rows, work_of
from superdef_bench.results.facts import DEFENSE, PIPELINE

LONGEST = 30.0  # seconds that a pass of a batch may be expected to take
_FITTING = 0.5  # of the free memory, that a pass may be expected to take
_SLOW = 3.0  # seconds of a pass of a batch that is timed once
_BATCH_ROUNDS = 5

_Key = tuple[Mode, str]  # how, and the name of the row


@dataclass(frozen=True)
class Budget:
    """How long to measure.

    Attributes:
        rounds: Turns of each pipeline at most, with one image.
        seconds: For the rounds of one size and mode, after the warm-up.
    """

    rounds: int
    seconds: float


@dataclass
class Costs:
    """What `measure` found.

    Attributes:
        rows: As in a results file, with more columns; see docs/cost.md.
        notes: What could not be measured, and why; what makes the numbers doubtful.
    """

    ceilings: Ceilings
    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def measure(
    pipelines: Mapping[str, Protected],
    model: str,
    *,
    sizes: Sequence[int],
    batches: Sequence[int],
    modes: Sequence[Mode],
    budget: Budget,
    device: torch.device,
) -> Costs:
    """Measure each pipeline at each size, in each mode, for one image and for batches.

    Args:
        pipelines: By the name of their rows; the first is what the others are compared with.
        model: Name of the classifier.
        sizes: Sides of the images.
        batches: Images at once, beside one.
        modes: How to run them.
        budget: How long to measure.
        device: Where to compute.

    Raises:
        ConfigError: A defense, or the classifier behind it, does not take such images.
        DataError: Memory ran out.
    """
    fix_numerics()
    costs = Costs(measure_ceilings(device, [mode.dtype for mode in modes]))
    usable = []
    for mode in modes:
        lacking = mode.missing(device)
        costs.notes += [f"{mode}: {lacking}, not measured."] if lacking else []
        usable += [] if lacking else [mode]
    counts = [1, *sorted(set(batches) - {1})]
    rounds = Budget(budget.rounds, budget.seconds * len(usable))
    of_batches = Budget(_BATCH_ROUNDS, _SLOW * len(usable))
    with progress_bar(len(sizes) * len(counts)) as bar:
        for size in sizes if usable else []:
            works = {name: _work(name, one, size, device) for name, one in pipelines.items()}
            bench = _Bench(costs, model, size, works, Stopwatch(device))
            bench.ready = {
                (mode, name): Pipeline(one, mode)
                for mode in usable
                for name, one in pipelines.items()
            }
            for n in counts:
                bar.show(f"timing: {size}x{size}", f"{n} image{'s' * (n > 1)} at once")
                bench.time(n, rounds if n == 1 else of_batches, device)
                bar.advance(1)
    shares = [row["roofline"]["share"] for row in costs.rows if "roofline" in row]
    costs.notes += signs_of_a_busy_machine(costs.ceilings, shares, device)
    return costs


def cost_document(
    costs: Costs, model: str, *, scale: int, budget: Budget, device: torch.device
) -> dict[str, Any]:
    """Return what `measure` found as JSON, with where and how it was measured; see docs/cost.md.

    Args:
        costs: What was found.
        model: Name of the classifier.
        scale: Of what has a scale.
        budget: How long was measured.
        device: Where it was measured.
    """
    return {
        "machine": machine(str(device)),
        "versions": versions(),
        "threads": torch.get_num_threads(),
        "scale": scale,
        "rounds": budget.rounds,
        "seconds": budget.seconds,
        "model": model,
        "ceilings": asdict(costs.ceilings),
        "notes": costs.notes,
        "cost": costs.rows,
    }


def _work(name: str, protected: Protected, size: int, device: torch.device) -> dict[str, Work]:
    try:
        return work_of(protected, (1, 3, size, size), device=device)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _refused(name, (1, 3, size, size), error) from error


def _refused(name: str, shape: Sequence[int], error: BaseException) -> SuperdefError:
    what = f"{name} on {shape[0]} x {shape[-1]}x{shape[-2]} pixels"
    if out_of_memory(error):
        return DataError(f"memory ran out: {what}", hint="take a smaller --size")
    return ConfigError(
        f"{what}: {reason(error)}",
        hint="take another --size, or a --model that takes what the defense returns",
    )


@dataclass
class _Bench:
    """All pipelines at one size, in all modes: all of them take turns.

    Attributes:
        expected: Seconds per image, from the passes so far.
        starting: Seconds that the first call took beyond the others.
    """

    costs: Costs
    model: str
    size: int
    works: Mapping[str, Mapping[str, Work]]
    stopwatch: Stopwatch
    ready: dict[_Key, Pipeline] = field(default_factory=dict)
    expected: dict[_Key, float] = field(default_factory=dict)
    starting: dict[_Key, float] = field(default_factory=dict)

    def time(self, n: int, budget: Budget, device: torch.device) -> None:
        """Time all that can be, with `n` images, and add their rows."""
        large = {key: self._too_large(key, n, device) for key in self.ready}
        fitting = {key: one for key, one in self.ready.items() if not large[key]}
        laps: dict[_Key, Laps] = {}
        if fitting:
            images = _images((n, 3, self.size, self.size), device)
            laps = self._warm_up(fitting, images, budget.seconds / len(fitting))
            slow = budget.seconds if n == 1 else _SLOW
            take_turns(
                {key: fitting[key] for key in laps},
                images,
                laps,
                self.stopwatch,
                rounds=budget.rounds,
                seconds=budget.seconds,
                slow=slow,
            )
        for key, found in laps.items():
            self.expected[key] = found.milliseconds(PIPELINE)["p50"] / 1000 / n
            self.starting.setdefault(key, found.first.pipeline - found.last.pipeline)
        self.ready = {key: one for key, one in self.ready.items() if key in laps or large[key]}
        for mode, name in self.ready:
            reference = laps.get((mode, next(iter(self.works))))
            self._add(mode, name, n, laps.get((mode, name)), reference, large[mode, name])

    def _warm_up(
        self, pipelines: Mapping[_Key, Pipeline], images: Tensor, seconds: float
    ) -> dict[_Key, Laps]:
        """Return the laps of those that run; a mode that fails is noted."""
        laps = {}
        for (mode, name), pipeline in pipelines.items():
            try:
                taken = pipeline.prepare(images)
                laps[mode, name] = self.stopwatch.warm_up(pipeline, taken, seconds=seconds)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                if not mode.parts:
                    raise _refused(name, images.shape, error) from error
                said = reason(error, kind=False)[:100]
                self.costs.notes.append(f"{name}, {mode}, {len(images)} at once: {said}")
        return laps

    def _too_large(self, key: _Key, n: int, device: torch.device) -> str:
        """Return why a pass is expected to be too large, from those of fewer images."""
        mode, name = key
        if self.works[name][PIPELINE].of_batch(n).memory > _FITTING * _free(device):
            return "memory"
        compiling = self.starting.get(key, 0.0) if mode.fuses else 0.0
        return "time" if n * self.expected.get(key, 0.0) + compiling > LONGEST else ""

    def _add(
        self, mode: Mode, name: str, n: int, laps: Laps | None, reference: Laps | None, large: str
    ) -> None:
        for row in cost_rows(name, self.model, self.works[name], (self.size, self.size), digits=15):
            scope = row["scope"]
            if name == UNDEFENDED and scope == DEFENSE:
                continue
            work = self.works[name][scope].of_batch(n)
            row |= {"batch_size": n, "mode": str(mode), "dtype": mode.dtype}
            row["memory"] = (laps and laps.memory) or (None if mode.parts else work.memory)
            row["too_large"] = large
            if laps:
                times = laps.milliseconds(scope)
                row |= timed_columns(times, n)
                row["first_ms"] = 1000 * getattr(laps.first, scope)
                row["passes"] = len(laps.seconds(scope))
                row["ratio"] = laps.ratio(reference, scope) if reference else None
                # Ceilings are best tries, so good passes are held against them.
                judged = self.costs.ceilings.judge(
                    work, times["p10"] / 1000, dtype=mode.dtype, fuses=mode.fuses
                )
                row["roofline"] = asdict(judged)
            self.costs.rows.append(row)


def _images(shape: Sequence[int], device: torch.device) -> Tensor:
    try:
        return torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(device)
    except (MemoryError, RuntimeError) as error:
        raise DataError(
            f"memory ran out: {shape[0]} images of {shape[-1]}x{shape[-2]} pixels",
            hint="take a smaller --size",
        ) from error


def _free(device: torch.device) -> float:
    """Return the free bytes of the device; without an answer, no limit."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        found = [line.split()[1] for line in lines if line.startswith("MemAvailable")]
        return 1024.0 * float(found[0])
    except (OSError, IndexError):
        return float("inf")
