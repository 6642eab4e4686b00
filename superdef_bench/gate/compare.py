"""The regression gate: results against a baseline, paired on images. No torch."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from superdef_bench.core.errors import DataError
from superdef_bench.core.threats import ADAPTIVE, CLEAN, Rung
from superdef_bench.core.visible import one_line, shortened
from superdef_bench.gate.cost import cost_checks
from superdef_bench.gate.findings import Check, Limits, Report, Status
from superdef_bench.results.comparable import Rows, is_partial, rows_of, unlike
from superdef_bench.results.ranking import images_text, rank
from superdef_bench.results.rows import is_drawn, shares, verdicts, words_of
from superdef_bench.results.schema import AccuracyRow, Columns, Results
from superdef_bench.results.statistics import holm, mcnemar

_SHOWN = 3


def check_comparable(baseline: Results, results: Results) -> None:
    """Raise DataError unless dataset, classifier, threat and all settings are the same.

    A benchmark that was changed is not compared: it gets a new baseline.
    """
    reasons = unlike(baseline, results)
    if reasons:
        more = f"; and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
        raise DataError(
            f"not comparable: {'; '.join(reasons[:_SHOWN])}{more}",
            hint="run the baseline's config with the same options, or make a new baseline of these "
            "results",
        )


ALPHA = 0.01
_UNKNOWN = "one of the two does not say which weights were attacked"
_DRAWN = "of random defenses means over draws are compared, by the exact sign test over images"


def compare(
    baseline: Results,
    results: Results,
    limits: Limits,
    *,
    names: tuple[str, str] = ("baseline", "results"),
    one_job: bool = False,
) -> Report:
    """Return what got worse, what got better, and what could not be judged.

    An accuracy got worse when it fell by more than its limit and McNemar's exact test on the same
    images, after Holm's correction over all rows of the comparison, gives p below 0.01.

    Args:
        baseline: What to compare with.
        results: What is judged.
        limits: How much each metric may get worse.
        names: What the two are called in the report.
        one_job: Whether both were measured on one machine, one after the other, so that their
            latencies compare.

    Raises:
        DataError: The two do not measure the same thing.
    """
    if not baseline.accuracy:
        raise DataError("the baseline has no rows", hint="make one: superdef-bench run CONFIG")
    check_comparable(baseline, results)
    pairs, others = [], []
    for defense in baseline.defenses:
        found = _rows(baseline, results, defense, limits)
        pairs += [one for one in found if isinstance(one, _Pair)]
        others += [one for one in found if isinstance(one, Check)]
    tested = _judged(pairs)
    checks = [*tested, *others, *_new(baseline, results)]
    checks += cost_checks(baseline, results, limits, one_job=one_job)
    order = {name: place for place, name in enumerate(baseline.defenses)}
    notes = [_DRAWN] if any(pair.drawn for pair in pairs) else []
    if not all(r.model.weights is not None for r in (baseline, results)):
        notes.append(_UNKNOWN)
    return Report(
        names=names,
        checks=sorted(checks, key=lambda check: order.get(check.defense, len(order))),
        family=len(pairs),
        alpha=ALPHA,
        floors={n: floor(n, len(pairs)) for n in sorted({pair.n for pair in pairs}, reverse=True)},
        images=(images_text(baseline, rank(baseline)), images_text(results, rank(results))),
        notes=notes,
    )


def fewest(family: int) -> int:
    """Return how many images must fall, none rising, for p to be below 0.01 among so many rows."""
    return math.floor(math.log2(2 * max(family, 1) / ALPHA)) + 1


def floor(n: int, family: int) -> float | None:
    """Return the smallest fall in points that could be seen on `n` images, None for none."""
    count = fewest(family)
    return 100 * count / n if count <= n else None


@dataclass(frozen=True)
class _Pair:
    """A row of the baseline and the same of the results, not judged yet."""

    check: Check
    p: float
    right: int
    drawn: bool

    @property
    def n(self) -> int:
        assert self.check.n is not None
        return self.check.n


def _rows(baseline: Results, results: Results, defense: str, limits: Limits) -> list[_Pair | Check]:
    before, after = rows_of(baseline, defense), rows_of(results, defense)
    if defense not in results.defenses:
        why = f"the results have no such defense; the baseline has {len(before)} rows of it"
        return [Check("accuracy", defense, "all rows", "missing", why=why)]
    found: list[_Pair | Check] = []
    for place, row in before.items():
        limit = limits.of(*_metrics(row))
        if limit is None:
            continue
        other = after.get(place)
        metric, what = _metrics(row)[0], words_of(row)
        if other is None:
            why = _why_missing(results, row)
            found.append(Check(metric, defense, what, "missing", why=why))
        elif is_partial(row, before, after):
            why = "cells that it is the worst of are missing"
            found.append(Check(metric, defense, what, "missing", why=why))
        else:
            found.append(_pair(row, other, limit))
    return found


def _metrics(row: AccuracyRow) -> tuple[str, ...]:
    """Return the names by which a row's limit goes, the most specific first."""
    if not row.rung:
        return CLEAN, "accuracy"
    if row.rung in (Rung.GRAY_BOX, ADAPTIVE):
        return row.rung, "accuracy"
    return ("accuracy",)


def _pair(row: AccuracyRow, other: AccuracyRow, limit: float) -> _Pair:
    drawn = is_drawn(row) and is_drawn(other)
    first, second = (shares(r) if drawn else verdicts(r).astype(float) for r in (row, other))
    check = Check(
        metric=_metrics(row)[0],
        defense=row.defense,
        what=words_of(row) + (", mean over draws" if drawn else ""),
        status="unchanged",
        before=100 * float(first.mean()),
        after=100 * float(second.mean()),
        change=100 * float((second - first).sum()) / len(first),
        limit=limit,
        n=len(first),
    )
    # Of single verdicts the sign test is McNemar's.
    return _Pair(check, mcnemar(first > second, second > first), int((first > 0).sum()), drawn)


def _judged(pairs: list[_Pair]) -> Iterator[Check]:
    """Yield the checks of accuracy rows, tested as one family."""
    least = fewest(len(pairs))
    for pair, p in zip(pairs, holm([pair.p for pair in pairs]), strict=True):
        check = pair.check
        assert check.change is not None
        assert check.limit is not None
        seen = p < ALPHA
        status: Status = "unchanged"
        if seen and -check.change > check.limit:
            status = "regressed"
        elif seen and check.change > 0:
            status = "improved"
        elif pair.right < least:
            status = "ungateable"
        elif -check.change > check.limit:
            status = "within noise"
        yield replace(check, status=status, p=p, why=_why(check, status, p, pair.right))


def _why(check: Check, status: Status, p: float, right: int) -> str:
    values = f"{check.before:.1f} % to {check.after:.1f} %"
    if status == "ungateable":
        return f"{right} of {check.n} right" if right else "nothing right that could be lost"
    if not check.change:
        return ""
    by = f"{'fell' if check.change < 0 else 'rose'} by {abs(check.change):.1f} points, {values}"
    limit = f"limit {check.limit:g}, " if status == "regressed" else ""
    return f"{by}; {limit}p = {p:.1g}"


def _why_missing(results: Results, row: AccuracyRow) -> str:
    """Return why the results lack a row: its cell failed, was refused, or was not asked for."""
    stopped: list[tuple[Columns, str]] = [(cell, cell.error) for cell in results.failures]
    stopped += [(cell, cell.why) for cell in results.refused]
    for cell, why in stopped:
        same = cell.clean or (cell.rung, cell.attack) == (row.rung, row.attack)
        if cell.defense == row.defense and (row.worst or same):
            return f"failed: {shortened(one_line(why))}"
    return "the results have no such row"


def _new(baseline: Results, results: Results) -> Iterator[Check]:
    for defense in results.defenses:
        known: Rows = rows_of(baseline, defense)
        fresh = [row for place, row in rows_of(results, defense).items() if place not in known]
        if fresh:
            what = words_of(fresh[0]) if len(fresh) == 1 else f"{len(fresh)} rows"
            yield Check("accuracy", defense, what, "new", why="not in the baseline, not judged")
