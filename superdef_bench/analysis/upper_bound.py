"""What submitted examples make of a published table: its upper bounds, where they are lowered."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from superdef_bench.analysis.reproduce import tolerated
from superdef_bench.analysis.submission import SubmittedRow, ball_of
from superdef_bench.benchmark.built import Benchmark
from superdef_bench.core.errors import DataError
from superdef_bench.core.fingerprint import fingerprint
from superdef_bench.core.threats import ADAPTIVE
from superdef_bench.results.comparable import (
    Difference,
    difference,
    differences,
    unknown_classifier,
)
from superdef_bench.results.facts import DatasetFacts, ModelFacts, ThreatFacts
from superdef_bench.results.rows import Score, is_drawn, score, score_of, shares, verdicts
from superdef_bench.results.schema import AccuracyRow, Results
from superdef_bench.run.facts import dataset_facts, model_facts, threat_facts

# What to do about a difference, by what differs.
_MENDS = {
    "seed": "leave --seed out to compare",
    "threat eps": "take a radius of the table",
    "sha256 of the classifier's weights": "the table does not say its weights, or has others: "
    "it can be compared with nothing",
}


@dataclass(frozen=True)
class Bound:
    """The upper bound of a row, before and with a submission.

    Attributes:
        defense: Name of the row.
        n: Images of the row.
        submitted: How many of them have an example; the others stay as the table has them.
        before: Adaptive accuracy in the table.
        after: The worst case per image of the table and the submission.
        broken: Images that the table has right and the submission breaks, by their id.
    """

    defense: str
    n: int
    submitted: int
    before: Score
    after: Score
    broken: Sequence[str]

    @property
    def lowers(self) -> bool:
        """Whether the submission is stronger than all that the table ran, taken together."""
        return self.after.accuracy < self.before.accuracy


@dataclass(frozen=True)
class _Here:
    """What a submission was scored on, as `differences` takes it."""

    dataset: DatasetFacts
    model: ModelFacts
    threat: ThreatFacts
    seed: int


def bounds(table: Results, rows: Sequence[SubmittedRow], benchmark: Benchmark) -> list[Bound]:
    """Return the upper bounds of those rows that a table has.

    Args:
        table: Published results.
        rows: A submission, scored.
        benchmark: What it was scored on.

    Raises:
        DataError: The table is of another dataset, classifier, ball or seed, or its rows of the
            same names are of other images or other defenses, or it has none of the rows.
    """
    check_comparable(table, benchmark)
    eps = ball_of(benchmark).eps
    found = []
    for row in rows:
        adaptive = table.worst(row.defense, ADAPTIVE, eps)
        if adaptive is not None:
            other = next(_row_differences(table, adaptive, row, benchmark), "")
            if other:
                raise DataError(
                    f"row {row.defense!r} of {table.name} is not comparable: {other}",
                    hint="-d names the rows to compare",
                )
            found.append(_bound(adaptive, row, benchmark.dataset.ids))
    if not found:
        raise DataError(
            f"{table.name} has no adaptive accuracy of {', '.join(r.defense for r in rows)}",
            hint="a table has that of rows that were attacked with knowledge of the defense",
        )
    return found


def check_comparable(table: Results, benchmark: Benchmark) -> None:
    """Raise DataError unless a table is of the same dataset, classifier, ball and seed."""
    here = _here(table, benchmark)
    other = next(_differences(table, here), None)
    if other is not None:
        raise DataError(
            f"{table.name} is not comparable: {other.what} is {other.before} there, "
            f"{other.after} here",
            hint=_MENDS.get(other.what, "name the config of the table"),
        )


def _differences(table: Results, here: _Here) -> Iterator[Difference]:
    yield from differences(table, here)
    yield from unknown_classifier(table, here)
    if here.threat.eps != table.threat.eps:
        yield from difference("eps", table.threat.eps, here.threat.eps)


def _here(table: Results, benchmark: Benchmark) -> _Here:
    """Return what the benchmark is, in the words of results.

    A submission is of one radius, and of the first images; a row may have more, or fewer: both
    are compared by row.
    """
    threat, eps = threat_facts(benchmark), ball_of(benchmark).eps
    return _Here(
        dataset=dataset_facts(benchmark).model_copy(update={"images": table.dataset.images}),
        model=model_facts(benchmark),
        threat=threat.model_copy(
            update={"eps": table.threat.eps if eps in table.threat.eps else [eps]}
        ),
        seed=benchmark.config.seed,
    )


def _row_differences(
    table: Results, adaptive: AccuracyRow, row: SubmittedRow, benchmark: Benchmark
) -> Iterator[str]:
    """Yield why a row of the table is not the one that was scored."""
    known, here = table.defenses[row.defense].arguments, json.loads(json.dumps(row.arguments))
    for key in known:
        if known[key] != here.get(key):
            yield f"{key} is {known[key]} there, {here.get(key)} here"
    if adaptive.draws != row.draws:
        yield f"it was scored on {adaptive.draws} draws, here on {row.draws}"
    if adaptive.ids_sha256 != fingerprint(list(benchmark.dataset.ids[: adaptive.n])):
        yield "its images are others"
    clean = table.clean(row.defense)
    if clean is not None:
        n = min(clean.n, len(row.clean))
        differ = int((verdicts(clean)[:n] != (row.clean[:n] >= 0.5)).sum())
        if differ > tolerated(n):
            yield f"without attack {differ} of {n} verdicts are others here, {tolerated(n)} may be"


def _bound(adaptive: AccuracyRow, row: SubmittedRow, ids: Sequence[str]) -> Bound:
    before = shares(adaptive)
    count = min(len(before), len(row.right))
    after = before.copy()
    after[:count] = np.minimum(before[:count], row.right[:count])
    lost = np.flatnonzero((before >= 0.5) & (after < 0.5))
    old = score(adaptive)
    assert old is not None
    return Bound(
        defense=row.defense,
        n=len(before),
        submitted=count,
        before=old,
        after=score_of(after, drawn=is_drawn(adaptive)),
        broken=[ids[place] for place in lost.tolist()],
    )
