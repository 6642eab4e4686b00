"""What the rows of a run cost: counted and timed once, and kept in its folder."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from superdef_bench.benchmark.built import Benchmark
from superdef_bench.core.errors import DataError
from superdef_bench.core.fingerprint import fingerprint, sources
from superdef_bench.core.settings import Settings
from superdef_bench.core.transform import Protected
from superdef_bench.core.watch import Watch
from superdef_bench.io.documents import parse_json
from superdef_bench.io.files import read_file, write_atomically
from superdef_bench.io.machine import machine, versions
from superdef_bench.io.seal import SEAL, is_sealed, seal
from superdef_bench.measure.modes import Mode, Pipeline
from superdef_bench.measure.timing import Laps, Stopwatch, reference_ms, take_turns, timed_columns
from superdef_bench.measure.work import Work, cost_rows, work_of
from superdef_bench.results.facts import Amount, Model
from superdef_bench.results.schema import CostRow

FILE = "cost.json"
_MOST_BYTES = 2**24  # a row of a defense has a few hundred
_RUN_ROUNDS, _RUN_SECONDS = 30, 10.0


@dataclass(frozen=True)
class RunCosts:
    """What was measured together.

    Attributes:
        rows: Cost rows of a results file.
        reference_ms: Time of the reference kernel beside them, in milliseconds.
        forward: Seconds of a pass per image, in batches, by defense.
    """

    rows: Sequence[Mapping[str, Any]]
    reference_ms: float
    forward: Mapping[str, float]


def costs_in(folder: Path, benchmark: Benchmark) -> RunCosts:
    """Return the costs of a benchmark, those in the folder where nothing changed since.

    Rows are timed side by side: where one defense, the machine or its threads are others, all
    are measured again.

    Raises:
        DataError: The file in the folder is damaged or cannot be written.
    """
    key = fingerprint(
        [(defense.name, defense.fingerprint) for defense in benchmark.defenses],
        [benchmark.task.model_fingerprint, benchmark.task.sha256],
        [machine(str(benchmark.device)), torch.get_num_threads(), versions()],
        sources(Path(__file__)),
    )
    kept = kept_costs(folder / FILE, key, [defense.name for defense in benchmark.defenses])
    if kept is not None:
        return kept
    image = benchmark.dataset.load([0])[0].to(benchmark.device)
    defenses = {defense.name: defense.protected for defense in benchmark.defenses}
    # Whoever answers as a service is not asked again and again.
    timed = not benchmark.answers_only
    rows = list(costs_of_run(defenses, benchmark.task.model, image, timed=timed))
    forward = {defense.name: defense.seconds for defense in benchmark.defenses}
    costs = RunCosts(rows, round(reference_ms(benchmark.device), 4), forward)
    text = json.dumps(seal({"key": key, **asdict(costs)}), indent=1)
    write_atomically(folder / FILE, f"{text}\n".encode(), parents=False)
    return costs


def check_kept(folder: Path) -> dict[str, Any] | None:
    """Return what a folder says of costs; None where it says nothing, or carries no hash.

    Raises:
        DataError: It is damaged.
    """
    file, hint = folder / FILE, "delete it; it is measured again"
    try:
        kept = parse_json(read_file(file, most=_MOST_BYTES))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"costs {file} cannot be read: {error.strerror}", hint=hint) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"costs {file} are damaged: {error}", hint=hint) from error
    if not isinstance(kept, dict):
        raise DataError(f"costs {file} are damaged: they are no table", hint=hint)
    # Without a hash an earlier version wrote it, whose costs have another key.
    return kept if SEAL in kept and is_sealed(kept, f"costs {file}", hint=hint) else None


class _Kept(Model):
    """What the file holds."""

    rows: list[CostRow]
    reference_ms: Amount
    forward: dict[str, Amount]


def kept_costs(file: Path, key: str, names: Collection[str]) -> RunCosts | None:
    """Return the costs in a file; None where they are of something else.

    Args:
        file: As `costs_in` writes it.
        key: Of what was measured.
        names: Of the defenses.

    Raises:
        DataError: It is damaged.
    """
    kept = check_kept(file.parent)
    if kept is None or kept.get("key") != key:
        return None
    try:
        checked = _Kept.model_validate(kept)
    except ValidationError:
        return None  # it is measured again
    if not checked.forward.keys() >= set(names):
        return None
    return RunCosts(kept["rows"], checked.reference_ms, checked.forward)


def costs_of_run(
    defenses: Mapping[str, Protected], model: str, image: Tensor, *, timed: bool
) -> Iterator[dict[str, Any]]:
    """Yield the cost rows of a run: what each defense takes for one image.

    Args:
        defenses: By the name of their rows; one that fails has no rows.
        model: Name of the classifier.
        image: One image, `(1, C, H, W)`.
        timed: Whether to measure latency too, in some ten seconds.
    """
    works: dict[str, dict[str, Work]] = {}
    pipelines: dict[str, Pipeline] = {}
    laps: dict[str, Laps] = {}
    stopwatch = Stopwatch(image.device)
    settings, watch = Settings(), Watch()
    for name, protected in defenses.items():
        watch.add(name, protected)
    for name, protected in defenses.items():
        try:
            works[name] = work_of(protected, tuple(image.shape), device=image.device)
            if timed:
                pipelines[name] = Pipeline(protected, Mode())
                seconds = _RUN_SECONDS / 2 / len(defenses)
                laps[name] = stopwatch.warm_up(pipelines[name], image, seconds=seconds)
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: S112  # a defense that cannot run has failed cells that say so
            continue
    if laps:
        ready = {name: pipelines[name] for name in laps}
        take_turns(
            ready,
            image,
            laps,
            stopwatch,
            rounds=_RUN_ROUNDS,
            seconds=_RUN_SECONDS / 2,
            slow=_RUN_SECONDS / 4,
        )
    # Passes that are timed are not checked one by one: what they changed is put back.
    settings.changes()
    watch.changes()
    for name, work in works.items():
        for row in cost_rows(name, model, work, tuple(image.shape[-2:])):
            if name in laps:
                row |= timed_columns(laps[name].milliseconds(row["scope"]), 1)
                row["memory"] = laps[name].memory or row["memory"]
            yield row
