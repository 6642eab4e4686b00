"""What the command line prints of results, as tables that fit 80 columns. No torch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.table import Table as Screen

from superdef_bench.analysis.versus import CORRECTED, Comparison, comparison_table
from superdef_bench.cli.output import remark
from superdef_bench.cli.screen import cell as markup
from superdef_bench.cli.screen import console
from superdef_bench.core.threats import CLEAN
from superdef_bench.core.visible import visible
from superdef_bench.leaderboard.classifier import classifier_title
from superdef_bench.leaderboard.notes import below_ranking, idle, near_chance
from superdef_bench.leaderboard.tables import quality_table, ranking_table
from superdef_bench.results.ranking import RANKED_BY, images_text, rank
from superdef_bench.results.schema import QualityResults, Results
from superdef_bench.results.suite import FULL, suite_of_table
from superdef_bench.results.table import Cell, Table, plain_lines
from superdef_bench.results.text import eps_text, percent

if TYPE_CHECKING:
    from superdef_bench.analysis.agreement import Alike
    from superdef_bench.prior.text import Found

_QUALITY = ("network", "set", "PSNR", "SSIM", "photographs")


def print_table(
    table: Table,
    note: str = "",
    *,
    unbroken: Sequence[str] = (),
    cut: str = "",
    words: bool = False,
) -> None:
    """Print one table under its caption, and the note beneath it.

    Args:
        table: The table.
        note: What a reader should know beside.
        unbroken: Titles of columns that stay on one line.
        cut: Title of a column that takes what room is left, on one line, its end cut off.
        words: Whether all columns are words, and stand left.
    """
    shown = Screen(title=markup(table.caption), expand=bool(cut))
    numeric = table.numeric
    for place, title in enumerate(table.head):
        right = not words and (numeric[place] if any(numeric) else place > 0)
        is_cut = title == cut
        shown.add_column(markup(title), overflow="fold", no_wrap=title in unbroken or is_cut)
        if is_cut:
            shown.columns[-1].overflow, shown.columns[-1].ratio = "ellipsis", 1
        shown.columns[-1].justify = "right" if right else "left"
    for line in table.lines:
        shown.add_row(*(markup(_text(cell)) for cell in line.cells))
    screen = console()
    screen.print(shown)
    if note:
        screen.print(note, markup=False)


def _text(cell: Cell) -> str:
    return cell.text + (f" ({cell.doubt})" if cell.doubt else "")


def print_ranking(results: Results) -> None:
    """Print the ranking at the last eps."""
    standings, last = rank(results), eps_text(results.last_eps)
    suite = suite_of_table(results, standings)
    strength = f"{suite} suite" if suite == FULL else suite
    accuracies = ["clean", "gray box", "adaptive"]
    shown = ["rank", "defense", *accuracies, "illusion gap", "n"]
    table = ranking_table(results, standings)
    table = table.pick(*shown, short=accuracies, rank="#", illusion_gap="gap")
    title = f"{results.name}, {results.threat.norm} {last}, {strength}"
    print_table(replace(table, caption=title), RANKED_BY)
    screen = console()
    images = images_text(results, standings)
    of = f"{results.dataset.name}, {images}; {classifier_title(results)}"
    screen.print(visible(of), markup=False)
    for line in below_ranking(results, standings):
        screen.print(visible(line), markup=False)
    for why in dict.fromkeys(s.reasons[0] for s in standings if s.rank is None and s.reasons):
        rows = [s.defense for s in standings if s.rank is None and why in s.reasons[:1]]
        screen.print(f"not ranked ({visible(why)}): {', '.join(map(visible, rows))}", markup=False)
    left_out = [(each.rung, each.why, each.defense) for each in results.not_applicable]
    print_left_out(left_out, len(results.defenses) - 1)
    for line in [*idle(results), *near_chance(results)]:
        screen.print(visible(line), markup=False)


def print_left_out(left_out: Sequence[tuple[str, str, str]], defenses: int) -> None:
    """Print which rungs do not apply to which of the defenses, and why."""
    for rung, why in dict.fromkeys((rung, why) for rung, why, _ in left_out):
        rows = [name for *rest, name in left_out if rest == [rung, why]]
        where = "" if len(rows) == defenses else f" to {', '.join(rows)}"
        console().print(visible(f"{rung} does not apply{where}: {why}"), markup=False)


def print_failures(results: Results) -> None:
    """Print each failed cell once per reason, on stderr."""
    by_reason: dict[str, list[str]] = {}
    for failure in results.failures:
        cell = f"{failure.defense} {failure.rung or CLEAN} {failure.attack}"
        by_reason.setdefault(failure.error, []).append(cell)
    for reason, failed in by_reason.items():
        more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        remark(f"failed: {failed[0]}{more}: {reason}")


def print_comparisons(
    names: Sequence[str], found: Iterable[Comparison], notes: Sequence[str], tests: int
) -> None:
    """Print two rows of a leaderboard side by side, p corrected over so many tests."""
    note = (
        "p: McNemar's exact test on the same images, after Holm's correction over the "
        f"{tests} tests asked for. Ratio: the first row over the second, none over 0; its "
        "interval from 5 right images on."
    )
    note = "\n".join([note, *map(visible, notes)])
    title = f"{names[0]} against {names[1]}, accuracy in %"
    unbroken = ("n", "ratio", "95 %", CORRECTED)
    print_table(comparison_table(title, names, found), note, unbroken=unbroken)


def print_quality(results: QualityResults) -> None:
    """Print PSNR and SSIM of each network on each set."""
    table = quality_table(results).pick(*_QUALITY, photographs="n")
    note = "On luma of images rounded to 8 bits, borders left out."
    print_table(replace(table, caption=results.name), note)


def print_found_text(found: Mapping[str, "Found"]) -> None:
    """Print how much of a known text was found, by iteration."""
    rows = [
        [what, percent(f.recall), percent(f.precision), percent(f.f1)] for what, f in found.items()
    ]
    head = ["after", "recall", "precision", "F1"]
    note = "After: iterations of the fit; a blur fits nothing, and is what a fit has to beat."
    print_table(Table("text", "text that was found, % of pixels", head, plain_lines(rows)), note)


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
    print_table(Table("alike", f"{names[0]} and {names[1]}", head, plain_lines(rows)), note)
