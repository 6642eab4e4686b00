"""What submitted examples break, as tables that fit 80 columns or as JSON."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from superdef_bench.analysis.submission import Submission, SubmittedRow
from superdef_bench.analysis.submitted_file import FACTS
from superdef_bench.analysis.upper_bound import Bound
from superdef_bench.benchmark.built import Benchmark
from superdef_bench.cli.output import write
from superdef_bench.cli.tables import print_table
from superdef_bench.core.visible import visible
from superdef_bench.results.rows import Score, with_interval
from superdef_bench.results.schema import Results
from superdef_bench.results.statistics import pack_bits, pack_counts
from superdef_bench.results.table import Table, plain_lines

_LISTED = 5  # images of a row


@dataclass(frozen=True)
class Verified:
    """A submission that was checked and scored.

    Attributes:
        table: What it was held against, if anything.
        bounds: What becomes of the rows of that table.
    """

    submission: Submission
    benchmark: Benchmark
    rows: Sequence[SubmittedRow]
    table: Results | None
    bounds: Sequence[Bound]

    @property
    def unbounded(self) -> list[str]:
        """Rows of which the table has no adaptive accuracy."""
        have = {bound.defense for bound in self.bounds}
        return [row.defense for row in self.rows if row.defense not in have]


def print_submission(found: Verified) -> None:
    """Print a line per row, what the file says of itself, and what becomes of a table."""
    config, task = found.benchmark.config, found.benchmark.task
    ball = f"{config.norm} {config.eps[-1]}"
    rows = [
        [row.defense, with_interval(row.accuracy), with_interval(row.robust), str(row.robust.n)]
        for row in found.rows
    ]
    head = ["defense", "clean", "robust", "n"]
    title = f"{found.submission.file.name}: {task.dataset}, {task.model}, {ball}"
    shown = Table("submission", title, head, plain_lines(rows))
    print_table(shown, "\n".join(map(visible, _notes(found))), unbroken=head[1:])
    if found.table is not None:
        print_bounds(found.table, found.bounds, found.unbounded)


def _notes(found: Verified) -> Iterator[str]:
    submission, ball = found.submission, found.benchmark.config
    yield "Accuracy in %. Robust: right without attack and on the example."
    drawn = {row.draws for row in found.rows if row.draws > 1}
    if drawn:
        yield (
            f"Random defenses: the mean over {max(drawn)} fresh draws, per image the lower of "
            "the two."
        )
    for row in found.rows:
        if row.errors:
            yield f"{row.defense} failed on {row.errors} images: they count as broken."
    yield (
        f"All {len(submission.file.images)} examples are in [0, 1] and in the ball; the farthest "
        f"is {submission.distance:.6g} away, eps is {ball.eps[-1]}, and float32 rounds."
    )
    said, unsaid = (
        [FACTS[key] for key, known in submission.said.items() if known is wanted]
        for wanted in (True, False)
    )
    if said:
        yield f"The file says, and it is so: {', '.join(said)}."
    if unsaid:
        yield f"Not said: {', '.join(unsaid)}."
    if found.table is None:
        yield "Of published bounds nothing is claimed: --against TABLE.json compares."


def print_bounds(table: Results, bounds: Sequence[Bound], lacking: Sequence[str]) -> None:
    """Print the upper bounds of a table, before and with the submission, and what has none."""
    head = ["defense", "adaptive", "with these", "newly broken", "n"]
    rows = [
        [
            each.defense,
            with_interval(each.before, "≤ "),
            with_interval(each.after, "≤ ") if each.lowers else "as it was",
            str(len(each.broken)),
            str(each.n),
        ]
        for each in bounds
    ]
    shown = Table("bounds", f"Upper bounds of {table.name}", head, plain_lines(rows))
    print_table(shown, "\n".join(map(visible, _of_bounds(bounds, lacking))), unbroken=head[1:])


def _of_bounds(bounds: Sequence[Bound], lacking: Sequence[str]) -> Iterator[str]:
    yield "Adaptive: the published one. With these: the worst case per image of it and these."
    for each in bounds:
        if each.submitted < each.n:
            yield (
                f"{each.defense}: examples for {each.submitted} of {each.n} images; the others "
                "stay as published."
            )
    for each in bounds:
        if each.broken:
            more = ", ..." if len(each.broken) > _LISTED else ""
            yield f"{each.defense}, newly broken: {', '.join(each.broken[:_LISTED])}{more}"
    for each in bounds:
        if each.lowers and not each.broken:
            yield (
                f"{each.defense}: lower in the mean over draws; no image is newly wrong in most "
                "of its draws."
            )
    if lacking:
        yield f"The table has no adaptive accuracy of: {', '.join(lacking)}."
    lowered = [each.defense for each in bounds if each.lowers]
    yield f"Lowered: {', '.join(lowered)}." if lowered else "No bound is lowered."


def print_json(found: Verified) -> None:
    """Print the same as JSON, with the verdict on each image."""
    benchmark, submission = found.benchmark, found.submission
    document: dict[str, Any] = {
        "file": submission.file.name,
        "sha256": submission.file.sha256,
        "config": benchmark.config.name,
        "dataset": benchmark.task.dataset,
        "model": benchmark.task.model,
        "norm": benchmark.config.norm,
        "eps": benchmark.config.eps[-1],
        "seed": benchmark.config.seed,
        "n": len(submission.file.images),
        "distance": submission.distance,
        "said": submission.said,
        "rows": [_row(row) for row in found.rows],
        "against": None,
    }
    if found.table is not None:
        document["against"] = {
            "name": found.table.name,
            "sha256": found.table.sha256,
            "rows": [_bound(each) for each in found.bounds],
            "without_bound": found.unbounded,
        }
    write(json.dumps(document, indent=1) + "\n")


def _row(row: SubmittedRow) -> dict[str, Any]:
    verdicts = {"verdicts": pack_bits(row.right >= 0.5)}
    if row.draws > 1:
        verdicts["shares"] = pack_counts((row.right * row.draws).round().astype("uint8"))
    return {
        "defense": row.defense,
        "arguments": row.arguments,
        "draws": row.draws,
        "clean": _score(row.accuracy),
        "robust": _score(row.robust),
        "errors": row.errors,
        **verdicts,
    }


def _bound(each: Bound) -> dict[str, Any]:
    return {
        "defense": each.defense,
        "n": each.n,
        "submitted": each.submitted,
        "lowers": each.lowers,
        "adaptive": _score(each.before),
        "with_submission": _score(each.after),
        "newly_broken": list(each.broken),
    }


def _score(score: Score) -> dict[str, float]:
    return {key: round(value, 6) for key, value in asdict(score).items()}
