"""What AutoAttack's two engines broke, as a table that fits 80 columns or as JSON."""

import json
from collections.abc import Sequence

from rich.table import Table

from superdef_bench.cli.output import write
from superdef_bench.cli.screen import cell as markup
from superdef_bench.cli.screen import console
from superdef_bench.core.visible import visible
from superdef_bench.leaderboard.parity import accuracy_text
from superdef_bench.results.parity import Difference, EngineRun, Parity, compare, difference, ratios

_ENOUGH = 256  # images: one more or less is 0.4 %
_NAMED = 10  # images that are listed of each kind
_ENGINES = {"reference": "the reference", "own": "ours"}


def print_parity(case: Parity) -> None:
    """Print a line per engine, then the images that only one breaks."""
    table = Table(title=markup(f"AutoAttack on {case.title}, {case.norm} {case.eps}"))
    table.add_column("engine")
    for head in ("n", "accuracy", "forwards", "backwards", "s"):
        table.add_column(head, justify="right")
    for run in case.runs:
        table.add_row(
            _name(run),
            str(run.n),
            accuracy_text(run.broken()),
            f"{run.total('forwards'):,.0f}",
            f"{run.total('backwards'):,.0f}",
            f"{run.total('seconds'):.1f}",
        )
    screen = console()
    screen.print(table)
    for line in _lines(case):
        screen.print(visible(line), markup=False)


def _name(run: EngineRun) -> str:
    part = f", {run.parts[0].name} alone" if run.alone else ""
    return f"{_ENGINES[run.engine]}{part}, seed {run.seed}"


def _lines(case: Parity) -> list[str]:
    found = difference(case)
    times = ratios(*case.both())
    noise = "not known (--seeds 2)" if found.noise is None else f"{found.noise} images"
    return [
        f"Only the reference breaks {_listed(found.only_reference)}; only ours "
        f"{_listed(found.only_own)}.",
        f"Two seeds of the reference differ by: {noise}.",
        f"The reference takes {times.passes:.2f} times our passes, {times.seconds:.2f} times our "
        "seconds.",
        *_alone(case),
        *_too_few(case),
        f"Parity {'holds' if found.holds else 'FAILS'}: the reference alone may break "
        f"{found.allowed}, it breaks {len(found.only_reference)}.",
    ]


def _too_few(case: Parity) -> list[str]:
    idle = [name for name, number in case.both()[0].added() if not number]
    few = [f"Few images: of {case.n} one is {100 / case.n:.2g} %."] if case.n < _ENOUGH else []
    none = [f"In the reference {', '.join(idle)} broke nothing more: of them this tells little."]
    return few + (none if idle else [])


def _alone(case: Parity) -> list[str]:
    found = {reference.parts[0].name: compare(reference, own) for reference, own in case.alone()}
    return [
        f"{name} alone: only the reference breaks {_listed(d.only_reference)}, only ours "
        f"{_listed(d.only_own)}."
        for name, d in found.items()
    ]


def _listed(places: Sequence[int]) -> str:
    if not places:
        return "none"
    shown = ", ".join(map(str, places[:_NAMED])) + (", ..." if len(places) > _NAMED else "")
    return f"{len(places)} (image {shown})"


def print_json(case: Parity) -> None:
    """Print the same as JSON, with what every part broke."""
    found = difference(case)
    write(json.dumps({**case.model_dump(), "difference": _dumped(found)}, indent=1) + "\n")


def _dumped(found: Difference) -> dict[str, object]:
    return {
        "only_reference": list(found.only_reference),
        "only_own": list(found.only_own),
        "noise": found.noise,
        "allowed": found.allowed,
        "holds": found.holds,
    }
