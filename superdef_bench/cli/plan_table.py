"""What a run would do, as a table that fits 80 columns."""

from itertools import groupby

from superdef_bench.benchmark.built import Benchmark
from superdef_bench.cli.screen import console
from superdef_bench.cli.tables import print_left_out, print_table
from superdef_bench.core.threats import CLEAN, UNDEFENDED
from superdef_bench.core.visible import visible
from superdef_bench.results.table import Cell, Line, Table
from superdef_bench.run.cells import Group, Plan


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def print_plan(benchmark: Benchmark, plan: Plan) -> None:
    """Print the cells, images, passes and time of a plan, by rung and attack."""
    title = f"{benchmark.config.name}: {benchmark.limit} images, at most"
    lines = []

    def kind(group: Group) -> tuple[str, str]:
        return group.cells[0].rung or CLEAN, "" if group.clean else group.cells[0].attack

    order = {key: place for place, key in enumerate(dict.fromkeys(map(kind, plan.groups)))}
    groups = sorted(plan.groups, key=lambda group: order[kind(group)])
    total = 0.0
    for (rung, attack), members in groupby(groups, key=kind):
        part = list(members)
        cells = [cell for group in part for cell in group.cells]
        # Examples to replay are made once per source; every source has the row of none.
        made = [g for g in part if g.source is None or g.defense.name == UNDEFENDED]
        known = all(group.passes for group in part)
        counts = [sum(g.n * g.cells[0].eot * (g.passes or (0, 0))[i] for g in made) for i in (0, 1)]
        seconds = sum(group.seconds or 0.0 for group in part)
        total += seconds
        records = sum(cell.n for cell in cells)
        numbers = [
            Cell(str(len(cells)), len(cells)),
            Cell(f"{records:,}", records),
            *(Cell(f"{count:,}" if known else "?", count) for count in counts),
            Cell(_duration(seconds if known else None), seconds),
        ]
        lines.append(Line([Cell(rung), Cell(attack), *numbers]))
    head = ["rung", "attack", "cells", "records", "forwards", "backwards", "time"]
    print_table(Table("plan", title, head, lines))
    screen = console()
    refused = dict.fromkeys(
        f"{cell.rung} {cell.attack} on {cell.defense} is not run: {plan.refused[cell.key]}"
        for cell in plan.cells
        if cell.key in plan.refused
    )
    for line in refused:
        screen.print(visible(line), markup=False)
    left_out = [(rung, why, defense) for defense, rung, why in plan.left_out]
    print_left_out(left_out, len(benchmark.defenses) - 1)
    screen.print(
        f"{sum(cell.n for cell in plan.cells):,} records, {_duration(total)} at most on "
        f"{benchmark.device}; an attack that knows the defense stops at images it has fooled",
        markup=False,
    )
