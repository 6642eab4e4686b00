"""Measurements as tables that fit 80 columns. No torch."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape as markup
from rich.table import Table

from superdef_bench.formats import percent
from superdef_bench.quality_results import QualityResults
from superdef_bench.versus import Comparison, cells

if TYPE_CHECKING:
    from superdef_bench.agreement import Alike


def print_table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]], note: str) -> None:
    """Print one table and the note beneath it."""
    table = Table(title=markup(title))
    for place, column in enumerate(head):
        table.add_column(column, justify="right" if place else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(markup, row))
    screen = Console(highlight=False)
    screen.print(table)
    screen.print(note, markup=False)


def print_comparisons(
    names: Sequence[str], found: Iterable[Comparison], notes: Sequence[str]
) -> None:
    """Print two rows of a leaderboard side by side."""
    head = ["images", "n", "first", "second", "ratio", "95 %", "p"]
    note = (
        "p: McNemar's exact test on the same images. Ratio: first over second, none over 0; "
        "its interval from 5 right images on."
    )
    note = "\n".join([note, *notes])
    print_table(f"{names[0]} against {names[1]}, accuracy in %", head, map(cells, found), note)


def print_quality(results: QualityResults) -> None:
    """Print PSNR and SSIM of each network on each set."""
    rows = [
        [row["network"], row["dataset"], f"{row['psnr']:.2f}", f"{row['ssim']:.4f}", str(row["n"])]
        for row in results.rows
    ]
    head = ["network", "set", "PSNR", "SSIM", "n"]
    print_table(results.name, head, rows, "On luma of images rounded to 8 bits, borders left out.")


def print_agreement(names: Sequence[str], found: Iterable["Alike"]) -> None:
    """Print how alike two defenses are."""
    rows = [
        [
            row.what,
            str(row.n),
            percent(row.agreement),
            str(row.compared or ""),
            str(row.identical) if row.compared else "",
            "" if row.psnr is None else f"{row.psnr:.2f}",
        ]
        for row in found
    ]
    head = ["images", "n", "same label", "compared", "identical", "PSNR"]
    note = (
        "Same label: of the classifier behind each. Compared: what it saw of the first clean "
        "images, if both are of one size; PSNR is the mean over those that are not identical."
    )
    print_table(f"{names[0]} and {names[1]}", head, rows, note)
