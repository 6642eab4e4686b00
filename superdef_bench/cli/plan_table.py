"""What a run would do, as a table that fits 80 columns."""

from collections.abc import Iterator
from itertools import groupby

from superdef_bench.benchmark.built import Benchmark
from superdef_bench.benchmark.outline import Outline
from superdef_bench.cli.output import say
from superdef_bench.cli.screen import console
from superdef_bench.cli.tables import print_left_out, print_table
from superdef_bench.core.threats import CLEAN, MASKING, UNDEFENDED, Rung
from superdef_bench.core.visible import visible
from superdef_bench.io.downloads import in_order
from superdef_bench.results.table import Cell, Line, Table
from superdef_bench.run.cells import Group, Plan
from superdef_bench.run.likely import likely_seconds, measure_passes


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _title(what: str, count: int) -> str:
    return f"{what}, {count} defense{'s' * (count != 1)} and the undefended classifier"


def print_outline(outline: Outline) -> None:
    """Print what a run would download first, and what it would attack then."""
    config = outline.config
    say("A run would download first, in this order; nothing is downloaded now:")
    say(*in_order(outline.downloads))
    lines = [
        Line(
            [
                Cell(str(each.rung)),
                Cell(each.attack),
                Cell(", ".join(each.eps) or "–"),
                Cell(f"{each.limit:,}", each.limit),
            ]
        )
        for each in outline.attacked
    ]
    title = _title(f"{config.name}: at most {config.limit:,} images", len(config.defenses) - 1)
    print_table(Table("outline", title, ["rung", "attack", "eps", "images"], lines))
    say(f"rows: {', '.join(choice.name for choice in config.defenses)}")
    say("once the files are there, --plan measures passes and time, too")


def print_plan(benchmark: Benchmark, plan: Plan) -> None:
    """Print the records, passes and time of a plan, by rung and attack."""
    count = len(benchmark.defenses) - 1
    title = _title(f"{benchmark.config.name}: {benchmark.limit} images", count)
    lines = []
    passes = measure_passes(benchmark)

    def kind(group: Group) -> tuple[str, str]:
        return group.cells[0].rung or CLEAN, "" if group.clean else group.cells[0].attack

    order = {key: place for place, key in enumerate(dict.fromkeys(map(kind, plan.groups)))}
    groups = sorted(plan.groups, key=lambda group: order[kind(group)])
    total = whole = 0.0
    for (rung, attack), members in groupby(groups, key=kind):
        part = list(members)
        # Examples to replay are made once per source; every source has the row of none.
        made = [g for g in part if g.source is None or g.defense.name == UNDEFENDED]
        known = all(group.passes for group in part)
        counts = [sum(g.n * g.cells[0].eot * (g.passes or (0, 0))[i] for g in made) for i in (0, 1)]
        seconds = sum(group.seconds or 0.0 for group in part)
        likely = sum(likely_seconds(benchmark, plan, group, passes) for group in part)
        if known:  # the two are timed apart, and noise may turn them round
            likely = min(likely, seconds)
        total, whole = total + seconds, whole + likely
        numbers = [
            *(Cell(f"{count:,}" if known else "?", count) for count in counts),
            Cell(_duration(likely), likely),
            Cell(_duration(seconds if known else None), seconds),
        ]
        lines.append(Line([Cell(rung), Cell(attack), *numbers]))
    head = ["rung", "attack", "forwards", "backwards", "likely", "at most"]
    print_table(Table("plan", title, head, lines), unbroken=["attack"])
    screen = console()
    refused = dict.fromkeys(
        f"{cell.rung} {cell.attack} on {cell.defense} is not run: {plan.refused[cell.key]}"
        for cell in plan.cells
        if cell.key in plan.refused
    )
    for line in refused:
        screen.print(visible(line), markup=False)
    left_out = [(rung, why, defense) for defense, rung, why in plan.left_out]
    print_left_out(left_out, count)
    for line in _explained(benchmark, plan):
        screen.print(line, markup=False)
    results = sum(1 for _ in plan.cells)
    screen.print(
        f"{results:,} cells, {sum(cell.n for cell in plan.cells):,} records, about "
        f"{_duration(whole)}, {_duration(total)} at most on {benchmark.device}; an attack that "
        "knows the defense stops at images it has fooled",
        markup=False,
    )


def _explained(benchmark: Benchmark, plan: Plan) -> Iterator[str]:
    """Yield why rows are not what the number of defenses alone would make them."""
    known = [rung for rung in benchmark.config.rungs if not rung.replays]
    rungs = [str(r) for r in known if any(a.stands_for(r) for a in benchmark.attacks)]
    stands = any(g.defense.name == UNDEFENDED and g.rung is Rung.GRAY_BOX for g in plan.groups)
    if rungs and stands:
        yield (
            f"{UNDEFENDED}, the undefended classifier, is attacked in gray_box: it has no "
            f"defense to know, and its records stand for {', '.join(rungs)}, too"
        )
    judged = () if benchmark.answers_only else benchmark.attacks
    again = [a.name for a in judged if a.judged_apart() and any(r.replays for r in a.rungs)]
    if again:
        yield (
            f"{', '.join(again)} makes examples to replay with fewer parts: on {UNDEFENDED} it "
            "runs whole in white_box, too"
        )
    if any(group.source for group in plan.groups):
        yield "examples to replay are made once for all defenses: their passes count once"
    if any(cell.rung == MASKING for cell in plan.cells):
        yield f"{MASKING} probes gradients and counts for no accuracy; masking = 0 leaves it out"
