"""What the command line prints, as tables that fit 80 columns."""

import inspect
import json
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape as markup
from rich.table import Table

from superdef_bench.analysis.versus import Comparison, cells
from superdef_bench.benchmark.built import Benchmark
from superdef_bench.core.arguments import settings
from superdef_bench.core.errors import ConfigError, did_you_mean
from superdef_bench.core.plugins import KINDS, Plugin, Registry
from superdef_bench.leaderboard.notes import doubts, idle
from superdef_bench.results.ranking import is_full, rank
from superdef_bench.results.schema import QualityResults, Results
from superdef_bench.results.text import eps_text, percent
from superdef_bench.run.cells import Group, Plan

if TYPE_CHECKING:
    from superdef_bench.analysis.agreement import Alike


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


def console() -> Console:
    """Return where tables go: plain text, no guessed colours."""
    return Console(highlight=False)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def print_plan(benchmark: Benchmark, plan: Plan) -> None:
    """Print the cells, images, passes and time of a plan, by rung and attack."""
    title = f"{benchmark.config.name}: {benchmark.limit} images, at most"
    table = Table(title=markup(title))
    for column in ("rung", "attack", "cells", "records", "forwards", "backwards", "time"):
        table.add_column(column, justify="left" if column in ("rung", "attack") else "right")

    def kind(group: Group) -> tuple[str, str]:
        return group.cells[0].rung or "clean", "" if group.clean else group.cells[0].attack

    order = {key: place for place, key in enumerate(dict.fromkeys(map(kind, plan.groups)))}
    groups = sorted(plan.groups, key=lambda group: order[kind(group)])
    total = 0.0
    for (rung, attack), members in groupby(groups, key=kind):
        part = list(members)
        cells = [cell for group in part for cell in group.cells]
        # Examples to replay are made once per source; every source has the row of none.
        made = [g for g in part if g.source is None or g.defense.name == "none"]
        known = all(group.passes for group in part)
        counts = [sum(g.n * g.cells[0].eot * (g.passes or (0, 0))[i] for g in made) for i in (0, 1)]
        seconds = sum(group.seconds or 0.0 for group in part)
        total += seconds
        table.add_row(
            rung,
            markup(attack),
            str(len(cells)),
            f"{sum(cell.n for cell in cells):,}",
            *([f"{count:,}" for count in counts] if known else ["?", "?"]),
            _duration(seconds if known else None),
        )
    screen = console()
    screen.print(table)
    refused = dict.fromkeys(
        f"{cell.rung} {cell.attack} on {cell.defense} is not run: {plan.refused[cell.key]}"
        for cell in plan.cells
        if cell.key in plan.refused
    )
    for line in refused:
        screen.print(line, markup=False)
    told = [(rung, why, defense) for defense, rung, why in plan.left_out]
    _print_left_out(told, len(benchmark.defenses) - 1)
    screen.print(
        f"{sum(cell.n for cell in plan.cells):,} records, {_duration(total)} at most on "
        f"{benchmark.device}; an attack that knows the defense stops at images it has fooled",
        markup=False,
    )


def print_ranking(results: Results) -> None:
    """Print the ranking at the last eps."""
    standings = rank(results)
    document = results.document
    last = eps_text(document["threat"]["eps"][-1])
    strength = "full suite" if is_full(results, standings) else "quick: not a robustness claim"
    title = f"{results.name}, {document['threat']['norm']} {last}, {strength}"
    table = Table(title=markup(title))
    table.add_column("#", justify="right")
    table.add_column("defense", overflow="fold")
    for column in ("clean", "gray box", "adaptive", "gap", "n"):
        table.add_column(column, justify="right")
    for s in standings:
        doubt = doubts(results, s.defense)
        mark = f" ({doubt})" if doubt else ""
        table.add_row(
            "–" if s.rank is None else str(s.rank),
            markup(s.defense) + mark,
            percent(s.clean.accuracy if s.clean else None),
            percent(s.gray.accuracy if s.gray else None),
            f"≤ {percent(s.adaptive.accuracy)}" if s.adaptive else "–",
            percent(s.illusion),
            str((s.adaptive or s.clean or s.gray).n) if s.clean else "0",  # type: ignore[union-attr]  # one of them is there
        )
    screen = console()
    screen.print(table)
    for why in dict.fromkeys(s.reasons[0] for s in standings if s.rank is None and s.reasons):
        rows = [s.defense for s in standings if s.rank is None and why in s.reasons[:1]]
        screen.print(f"not ranked ({why}): {', '.join(rows)}", markup=False)
    told = [(e["rung"], e["why"], e["defense"]) for e in document["not_applicable"]]
    _print_left_out(told, len(document["defenses"]) - 1)
    for line in idle(results):
        screen.print(line, markup=False)


def _print_left_out(told: Sequence[tuple[str, str, str]], defenses: int) -> None:
    """Print which rungs do not apply to which of the defenses, and why."""
    for rung, why in dict.fromkeys((rung, why) for rung, why, _ in told):
        rows = [name for *rest, name in told if rest == [rung, why]]
        where = "" if len(rows) == defenses else f" to {', '.join(rows)}"
        console().print(f"{rung} does not apply{where}: {why}", markup=False)


def print_failures(results: Results) -> None:
    """Print each failed cell once per reason, on stderr."""
    screen = Console(stderr=True, highlight=False)
    by_reason: dict[str, list[str]] = {}
    for entry in results.document["failures"]:
        cell = f"{entry['defense']} {entry['rung'] or 'clean'} {entry['attack']}"
        by_reason.setdefault(entry["error"], []).append(cell)
    for reason, failed in by_reason.items():
        more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        line = " ".join(f"failed: {failed[0]}{more}: {reason}".split())
        screen.print(line, markup=False, soft_wrap=True)


def print_plugins(registry: Registry, kind: str, *, as_json: bool) -> None:
    """Print the plugins of a kind, or all."""
    singular = kind.removesuffix("s")
    if kind and singular not in KINDS:
        raise ConfigError(f"unknown kind {kind!r}", hint=did_you_mean(singular, KINDS))
    plugins = [plugin for plugin in registry if not kind or plugin.kind == singular]
    if as_json:
        listed = [
            {
                "kind": plugin.kind,
                "name": plugin.name,
                "source": plugin.source,
                "summary": plugin.summary,
                "arguments": _arguments(plugin),
            }
            for plugin in plugins
        ]
        print(json.dumps({"plugins": listed, "broken": registry.broken}, indent=1, default=str))
        return
    table = Table()
    table.add_column("kind")
    table.add_column("name", no_wrap=True)
    table.add_column("source", overflow="fold")
    table.add_column("what", overflow="fold")
    for plugin in plugins:
        table.add_row(plugin.kind, plugin.name, markup(plugin.source), markup(plugin.summary))
    console().print(table)


def _arguments(plugin: Plugin) -> dict[str, object]:
    if plugin.kind == "recipe":
        return settings(plugin.build().train)
    parameters = inspect.signature(plugin.factory).parameters
    return {name: plugin.defaults.get(name, "required") for name in parameters}
