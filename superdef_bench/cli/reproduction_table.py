"""What became of rows that were run again, as a table that fits 80 columns or as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.table import Table

from superdef_bench.analysis.reproduce import AGREEING, POINTS, Choice, Reproduction
from superdef_bench.cli.output import write
from superdef_bench.cli.screen import cell as markup
from superdef_bench.cli.screen import console
from superdef_bench.core.visible import one_line, visible
from superdef_bench.results.contradictions import derived
from superdef_bench.results.schema import Results
from superdef_bench.results.text import eps_text, percent


def print_reproductions(results: Results, chosen: Choice, found: Sequence[Reproduction]) -> None:
    """Print a line per row, and beneath them why those do not hold that do not."""
    table = Table(title=markup(f"{results.name}, run again"))
    table.add_column("row", justify="right")
    table.add_column("what", overflow="fold")
    for head in ("n", "stored", "again", "agreeing", "s"):
        table.add_column(head, justify="right")
    table.add_column("verdict")
    for each in found:
        ball = "" if each.eps is None else f" {eps_text(each.eps)}"
        table.add_row(
            str(each.number),
            markup(each.what + ball),
            str(each.n),
            percent(each.stored),
            percent(each.again),
            "–" if each.agreeing is None else str(each.agreeing),
            f"{each.seconds:.1f}",
            "holds" if each.holds else "differs",
        )
    screen = console()
    screen.print(table)
    for each in found:
        if not each.holds:
            screen.print(one_line(f"row {each.number}, {each.what}: {each.problem}"), markup=False)
    for line in _notes(results, chosen, found):
        screen.print(visible(line), markup=False)


def _notes(results: Results, chosen: Choice, found: Sequence[Reproduction]) -> list[str]:
    notes = [
        "Stored and again: accuracy in %. A row holds if images and settings agree, and verdicts "
        f"on {100 * AGREEING:g} % of the images; one may differ. Where examples depend on their "
        f"batch, {100 * POINTS:g} points may."
    ]
    if chosen.seed is not None:
        count = len(chosen.numbers)
        notes.append(
            f"Drawn from {chosen.fitting} rows by seed {chosen.seed}: --sample {count} "
            f"--seed {chosen.seed} draws the same."
        )
    worst, wrong = derived(results), sum(each.again is None for each in found)
    if worst and not wrong:
        notes.append(f"{worst} worst cases follow from the rows of their cells.")
    return notes


def print_json(results: Results, chosen: Choice, found: Sequence[Reproduction]) -> None:
    """Print the same as JSON, with all digits."""
    rows = [{**asdict(each), "holds": each.holds} for each in found]
    document: dict[str, object] = {"name": results.name, "seed": chosen.seed, "rows": rows}
    document["holds"] = all(each.holds for each in found)
    write(json.dumps(document, indent=1) + "\n")
