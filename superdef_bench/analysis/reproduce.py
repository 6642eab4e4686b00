"""Run rows of a results file again, and say whether they hold."""

import json
import random
import secrets
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from superdef_bench.analysis.rerun import Again, words
from superdef_bench.benchmark.built import Benchmark
from superdef_bench.core.errors import CellError, ConfigError, InterruptError
from superdef_bench.core.plugins import Registry
from superdef_bench.io.progress import progress_bar
from superdef_bench.results.contradictions import contradictions
from superdef_bench.results.rows import find_row, is_drawn, verdicts
from superdef_bench.results.schema import AccuracyRow, Results
from superdef_bench.results.statistics import unpack_counts

AGREEING = 0.995  # of the verdicts
POINTS = 0.02  # of accuracy, where examples depend on their batch
_SEEDS = 1_000_000
_SETTINGS = ("norm", "eps", "goal", "topk", "target", "draws", "eot", "batch_dependent")


@dataclass(frozen=True)
class Reproduction:
    """A row and what it gave this time.

    Attributes:
        number: Of the row among the accuracy rows, from 1.
        what: Defense, rung and attack.
        eps: Radius; None without a ball.
        n: Images.
        stored: Accuracy as the file has it.
        again: Accuracy this time; None where nothing was run.
        agreeing: Images with the same verdict both times; None where they cannot be compared.
        problem: Why the row does not hold; empty if it does.
        seconds: What running it took; 0 for what follows from other rows.
    """

    number: int
    what: str
    eps: float | None
    n: int
    stored: float
    again: float | None
    agreeing: int | None
    problem: str
    seconds: float

    @property
    def holds(self) -> bool:
        return not self.problem


@dataclass(frozen=True)
class Choice:
    """Rows to run again.

    Attributes:
        numbers: Theirs, from 1.
        seed: By which they were drawn; None where they were named.
        fitting: Rows that could have been drawn.
    """

    numbers: Sequence[int]
    seed: int | None = None
    fitting: int = 0


def choose_rows(
    results: Results,
    named: Sequence[int],
    sample: int | None,
    *,
    seed: int | None = None,
    max_seconds: float | None = None,
    without: Sequence[str] = (),
) -> Choice:
    """Return the rows that are named, or so many drawn from all that can be run again.

    Args:
        results: The file.
        named: Numbers of rows, from 1.
        sample: How many to draw, each row as likely as the others; all where there are fewer.
        seed: Of the draw; None takes one that nobody knows before.
        max_seconds: Draw only from rows that took no longer, by the file.
        without: Draw no rows of these, named with or without what stands in brackets.

    Raises:
        ConfigError: There is no such row, nothing is run for it, or none is quick enough.
    """
    if bool(named) == (sample is not None):
        raise ConfigError("which rows?", hint="give either --row N or --sample K")
    if sample is None:
        if seed is not None or max_seconds is not None or without:
            raise ConfigError(
                "nothing is drawn", hint="--seed, --max-seconds and --without go with --sample"
            )
        for number in named:
            _check_number(results, number)
        return Choice(list(dict.fromkeys(named)))
    fitting = [n for n, row in enumerate(results.accuracy, 1) if not row.worst]
    if without:
        left_out = {find_row(results, name) for name in without}
        fitting = [n for n in fitting if results.accuracy[n - 1].defense not in left_out]
    if max_seconds is not None:
        fitting = _quick(results, fitting, max_seconds)
    seed = secrets.randbelow(_SEEDS) if seed is None else seed
    drawn = random.Random(seed).sample(fitting, min(sample, len(fitting)))  # noqa: S311  # no secret
    return Choice(sorted(drawn), seed, len(fitting))


def _quick(results: Results, numbers: Sequence[int], most: float) -> list[int]:
    """Return the rows that took `most` seconds or less."""
    rows = results.accuracy
    timed = {n: took for n in numbers if (took := rows[n - 1].seconds) is not None}
    if not timed:
        raise ConfigError(
            f"{results.name} does not say how long its rows took",
            hint="leave --max-seconds out, or name cheap rows by --row",
        )
    quick = [n for n, took in timed.items() if took <= most]
    if not quick:
        least = min(timed.values())
        raise ConfigError(
            f"no row of {results.name} took {most:g} s or less",
            hint=f"the quickest took {least:.1f} s",
        )
    return quick


def _check_number(results: Results, number: int) -> None:
    rows = results.accuracy
    if not 1 <= number <= len(rows):
        raise ConfigError(
            f"{results.name} has no row {number}", hint=f"its rows count from 1 to {len(rows)}"
        )
    if rows[number - 1].worst:
        raise ConfigError(
            f"row {number} of {results.name} is a worst case: nothing is run for it",
            hint="it follows from the other rows, which is checked in any case: name one of them",
        )


def reproduce(
    results: Results, numbers: Sequence[int], registry: Registry, device: torch.device
) -> Iterator[Reproduction]:
    """Yield what becomes of the file and of its rows: contradictions first, then each row.

    Raises:
        ConfigError: A plugin is not there, or does not take the stored arguments.
        DataError: Data or weights are missing, or not those of the file.
    """
    for number, why in contradictions(results):
        yield _result(number, results.accuracy[number - 1], None, why, 0.0)
    with (
        tempfile.TemporaryDirectory(prefix="superdef-bench-") as folder,
        progress_bar(len(numbers)) as bar,
    ):
        again = Again(results, registry, device, Path(folder))
        for done, number in enumerate(numbers):
            row = results.accuracy[number - 1]
            bar.show(words(row), f"{done}/{len(numbers)} rows")
            start = time.perf_counter()
            try:
                found, benchmark = again.run(row)
                why = _difference(results, row, found, benchmark)
            except CellError as error:
                found, why = None, error.message
            except InterruptError as error:
                raise InterruptError(
                    f"stopped after {done} of {len(numbers)} rows",
                    hint="nothing is kept; name fewer rows, or quicker ones by --max-seconds",
                ) from error
            yield _result(number, row, found, why, time.perf_counter() - start)
            bar.advance(1)


def _result(
    number: int, row: AccuracyRow, found: AccuracyRow | None, why: str, seconds: float
) -> Reproduction:
    same = found is not None and found.n == row.n
    return Reproduction(
        number=number,
        what=words(row),
        eps=row.eps,
        n=row.n,
        stored=row.accuracy,
        again=found.accuracy if found is not None else None,
        agreeing=int((verdicts(row) == verdicts(found)).sum()) if found and same else None,
        problem=why,
        seconds=round(seconds, 1),
    )


def _difference(
    results: Results, row: AccuracyRow, found: AccuracyRow, benchmark: Benchmark
) -> str:
    """Return in what a row that was run again differs from the stored one, or nothing."""
    if found.n != row.n:
        return f"n is {row.n}, the stored config gives {found.n}"
    if found.ids_sha256 != row.ids_sha256:
        return "its images are others"
    changed = next(_changed(results, row, found, benchmark), "")
    return changed or _apart(row, found)


def _changed(
    results: Results, row: AccuracyRow, found: AccuracyRow, benchmark: Benchmark
) -> Iterator[str]:
    """Yield the settings that are no longer those of the row."""
    for column in _SETTINGS:
        stored, now = getattr(row, column), getattr(found, column)
        if column in row.model_fields_set and stored != now:
            yield f"{column} is {stored}, the stored config gives {now}"
    arguments: list[tuple[str, Any, Any]] = [
        (defense.name, defense.arguments, results.defenses[defense.name].arguments)
        for defense in benchmark.defenses
        if defense.name == row.defense
    ]
    if row.attacked:
        arguments += [
            (attack.name, attack.arguments, results.attacks[attack.name].arguments)
            for attack in benchmark.attacks
        ]
    for name, now, then in arguments:
        known = json.loads(json.dumps(dict(now)))
        if {key: known.get(key) for key in then} != dict(then):
            yield f"the arguments of {name} are other ones"
    # Files without eot hashed settings otherwise; what is hashed was compared above.
    if row.eot is not None and row.settings != found.settings:
        yield "the hash of its settings is another one"


def _apart(row: AccuracyRow, found: AccuracyRow) -> str:
    n = row.n
    if found.batch_dependent:
        gap = abs(row.accuracy - found.accuracy)
        allowed = max(POINTS, 1 / n)
        far = gap > allowed + 1e-6
        return f"{100 * gap:.1f} points apart, {100 * allowed:.1f} are allowed" if far else ""
    wrong = int((verdicts(row) != verdicts(found)).sum())
    if is_drawn(row):
        draws = row.draws
        counts = (unpack_counts(each.shares or "").astype(np.int64) for each in (row, found))
        differ = int(np.abs(next(counts) - next(counts)).sum())
        if differ > tolerated(n) * draws:
            return f"{differ} of {n * draws:,} draws differ, {tolerated(n) * draws} may"
    return f"{wrong} of {n} verdicts differ, {tolerated(n)} may" if wrong > tolerated(n) else ""


def tolerated(n: int) -> int:
    """Return how many of `n` verdicts may differ: kernels round differently."""
    return max(1, int((1 - AGREEING) * n + 1e-9))
