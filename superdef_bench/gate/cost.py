"""What a defense costs now against what it cost. No torch."""

import math
from collections.abc import Iterator

from superdef_bench.gate.findings import Check, Limits, Status
from superdef_bench.results.comparable import other_machine
from superdef_bench.results.facts import Provenance
from superdef_bench.results.schema import CostRow, Results

_LEAST = 0.05  # ms, below which a clock measures itself


def cost_checks(
    baseline: Results, results: Results, limits: Limits, *, one_job: bool
) -> Iterator[Check]:
    """Yield the checks of parameters, GMAC and latency, for defenses that both have.

    Latency compares where machine, threads and versions are the same or both were measured in one
    job. It regressed when the 10th percentile and the median both rose by more than the limit, as
    measured and also over the time of a fixed product of matrices in the same run: what else the
    machine does rarely slows the fastest passes, and not all but the reference.
    """
    now = {_place(row): row for row in results.cost}
    for row in baseline.cost:
        if row.defense not in results.defenses:
            continue
        after = now.get(_place(row))
        for metric in ("params", "gmac"):
            limit = limits.of(metric)
            if limit is None:
                continue
            if after is None:
                why = "the results have no such number"
                yield Check(metric, row.defense, _words(row), "missing", why=why)
            else:
                yield _check(metric, row, getattr(row, metric), getattr(after, metric), limit)
        limit = limits.of("latency")
        if limit is not None and _timed(row):
            made = [each.provenance_of(row.defense) for each in (baseline, results)]
            other = "" if one_job else other_machine(*made)
            yield _latency(row, after, limit, other, _speeds(*made))


def _timed(row: CostRow) -> bool:
    """Return whether a row has times, and of more than the clock itself."""
    times = row.latency_ms
    return times is not None and min(times.p10, times.p50) >= _LEAST


def _place(row: CostRow) -> tuple[object, ...]:
    size = tuple(row.size)
    return row.defense, row.scope, row.batch_size, size, row.dtype, row.mode


def _words(row: CostRow) -> str:
    height, width = row.size
    words = [f"{row.scope}, {row.batch_size} x {height}x{width}"]
    words += [
        word for word, usual in ((row.dtype, "float32"), (row.mode, "eager")) if word != usual
    ]
    return ", ".join(words)


def _check(metric: str, row: CostRow, before: float, after: float, limit: float) -> Check:
    change = after / before - 1 if before else (math.inf if after else 0.0)
    status: Status = "unchanged"
    if change > limit:
        status = "regressed"
    elif change < -limit:
        status = "improved"
    why = ""
    if change:
        share = f"by {100 * abs(change):.1f} %, " if before else ""
        why = f"{'rose' if change > 0 else 'fell'} {share}{before:,.6g} to {after:,.6g}"
        why += f"; limit {100 * limit:g} %"
    finite = change if math.isfinite(change) else None
    return Check(metric, row.defense, _words(row), status, before, after, finite, limit, why=why)


def _latency(
    row: CostRow, after: CostRow | None, limit: float, other: str, speeds: tuple[float, float]
) -> Check:
    defense, what = row.defense, _words(row)
    if other:
        return Check("latency", defense, what, "not comparable", why=other)
    earlier, now = row.latency_ms, after.latency_ms if after else None
    if earlier is None or now is None:
        why = "the results have no such number"
        return Check("latency", defense, what, "missing", why=why)
    measured = [now.p10 / earlier.p10, now.p50 / earlier.p50]
    # The reference kernel is a short measurement itself: alone it is no reason to fail.
    beside = [ratio * speeds[0] / speeds[1] for ratio in measured]
    change = measured[1] - 1
    status: Status = "unchanged"
    if min(*measured, *beside) > 1 + limit:
        status = "regressed"
    elif max(*measured, *beside) < 1 - limit:
        status = "improved"
    why = f"median {earlier.p50:.3g} ms to {now.p50:.3g} ms, {100 * change:+.0f} %"
    if speeds != (1.0, 1.0):
        why += f", {100 * (beside[1] - 1):+.0f} % beside the reference kernel"
    why += f"; limit {100 * limit:g} %"
    return Check("latency", defense, what, status, earlier.p50, now.p50, change, limit, why=why)


def _speeds(before: Provenance, after: Provenance) -> tuple[float, float]:
    """Return the times of the reference kernel, 1 where one of the two has none."""
    first, second = before.reference_ms, after.reference_ms
    return (first, second) if first and second else (1.0, 1.0)
