"""One row of a results file, run again from the config that the file carries."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch

from superdef_bench.analysis.run_folder import as_recorded, config_of
from superdef_bench.benchmark.build import build
from superdef_bench.benchmark.built import Benchmark
from superdef_bench.benchmark.choices import Choice
from superdef_bench.benchmark.config import Config
from superdef_bench.core.errors import CellError, DataError
from superdef_bench.core.plugins import Registry
from superdef_bench.core.threats import CLEAN, MASKING, UNDEFENDED, Layout, Rung, is_called
from superdef_bench.results.aggregate import add_conditional
from superdef_bench.results.schema import AccuracyRow, Results
from superdef_bench.run.cells import SHARD, Cell, Plan
from superdef_bench.run.document import cells_of
from superdef_bench.run.plan import make_plan
from superdef_bench.run.runner import compute

_PLACE = ("defense", "rung", "source", "attack", "eps")

Chosen = TypeVar("Chosen", bound=Choice)


class Again:
    """The benchmark of a results file as it is on this machine.

    Args:
        results: The file.
        registry: The plugins.
        device: Where rows run.
        folder: For records and examples, which rows share.
    """

    def __init__(
        self, results: Results, registry: Registry, device: torch.device, folder: Path
    ) -> None:
        self._results, self._registry = results, registry
        self._device, self._folder = device, folder
        # A slower machine is no reason to refuse a cell.
        self._config = config_of(results).model_copy(update={"cell_seconds": None})
        self._built: tuple[object, Benchmark] | None = None

    def run(self, row: AccuracyRow) -> tuple[AccuracyRow, Benchmark]:
        """Run the cell of a row, and nothing else; return the row that it gives now.

        Raises:
            CellError: The attack or the defense failed.
            ConfigError: A plugin is not there, or does not take such arguments.
            DataError: Data or weights are missing, or not those of the file.
        """
        made = self._results.provenance_of(row.defense)
        config = as_recorded(_narrowed(self._config, row), self._results, self._registry)
        benchmark = self._benchmark(config, made.layouts)
        plan = _only(benchmark, make_plan(benchmark), row)
        outcome = compute(benchmark, plan, self._folder)
        for why in outcome.failures.values():
            raise CellError(why)
        for cell in cells_of(benchmark, plan, outcome, plan.groups[-1].defense):
            for found in cell.rows():
                if all(found[column] == getattr(row, column) for column in _PLACE):
                    add_conditional([found], None)
                    return AccuracyRow.model_validate(found), benchmark
        raise _gone(row)

    def _benchmark(self, config: Config, layouts: Mapping[str, Layout]) -> Benchmark:
        """Build a config; neighbours in a file mostly have the same."""
        wanted = config, layouts
        if self._built is None or self._built[0] != wanted:
            built = build(config, self._registry, self._device, layouts=layouts)
            self._check_same(built)
            self._built = wanted, self._named_as_then(built)
        return self._built[1]

    def _named_as_then(self, benchmark: Benchmark) -> Benchmark:
        """Return a benchmark whose attacks say the arguments that the file records, no younger."""
        attacks = []
        for attack in benchmark.attacks:
            facts = self._results.attacks.get(attack.name)
            recorded = facts.arguments if facts else attack.arguments
            kept = {key: value for key, value in attack.arguments.items() if key in recorded}
            attacks.append(replace(attack, arguments=kept))
        return replace(benchmark, attacks=tuple(attacks))

    def _check_same(self, benchmark: Benchmark) -> None:
        now, then = benchmark.task.sha256, self._results.dataset.sha256
        if now != then:
            raise DataError(
                f"dataset {benchmark.task.dataset!r} is {now[:12]} here, {self._results.name} was "
                f"measured on {then[:12]}",
                hint="take the images of that version",
            )


def words(row: AccuracyRow) -> str:
    """Return what a row is: defense, rung and attack."""
    attack = "" if row.clean else row.attack
    return " ".join(filter(None, (row.defense, row.rung or CLEAN, attack)))


def _narrowed(config: Config, row: AccuracyRow) -> Config:
    """Return the config of one row: what it needs is built, the rest is left out."""
    none = next(choice for choice in config.defenses if choice.name == UNDEFENDED)
    defense = _meant(config.defenses, row.defense)
    attack = _meant(config.attacks, row.attack) if row.attacked else None
    if defense is None or (row.attacked and attack is None):
        raise _gone(row)
    sources = [s for s in config.sources if s.choice.name == row.made_on]
    rungs = config.rungs
    if attack is not None and row.defense == UNDEFENDED and row.goal == "strength":
        # Older tables attack it so for every rung, also where nothing is replayed.
        rungs = tuple(dict.fromkeys((Rung.GRAY_BOX, *rungs)))
        own = attack.rungs and tuple(dict.fromkeys((Rung.GRAY_BOX, *attack.rungs)))
        attack = attack.model_copy(update={"rungs": own})
    return config.model_copy(
        update={
            "defenses": (none,) if defense is none else (none, defense),
            "attacks": () if attack is None else (attack,),
            "sources": tuple(sources),
            "rungs": rungs,
        }
    )


def _meant(choices: Sequence[Chosen], name: str) -> Chosen | None:
    """Return the choice whose row is called `name`: a row says in brackets what it is, too."""
    fitting = [choice for choice in choices if is_called(name, choice.name)]
    return max(fitting, key=lambda choice: len(choice.name), default=None)


def _only(benchmark: Benchmark, plan: Plan, row: AccuracyRow) -> Plan:
    """Return the plan of one row's cell: clean images first, and the smaller eps it builds on."""
    rung = row.rung
    known = row.attacked is not None and not row.attacked.replays
    if row.defense == UNDEFENDED and known and not benchmark.answers_only:
        # Attacked once in strength, and once for a verdict, whatever the rung.
        verdicts = [r for r in (row.rung, Rung.WHITE_BOX) if r != Rung.BPDA]
        rung = Rung.GRAY_BOX if row.goal == "strength" else verdicts[0]
    wanted = (row.defense, rung, row.source, row.attack)
    clean = [g for g in plan.groups if g.clean and g.defense.name == row.defense]
    for group in plan.groups:
        cells = [c for c in group.cells if _needed(c, row)]
        first = group.cells[0]
        if cells and (first.defense, first.rung, first.source, first.attack) == wanted:
            groups = clean if group.clean else [*clean, replace(group, cells=tuple(cells))]
            # As many images as the config asks for: a row that was cut short is to be seen.
            n = min(group.n, benchmark.config.limits.get(row.rung, group.n))
            return Plan(tuple(groups), (), -(-n // SHARD), {})
    raise _gone(row)


def _needed(cell: Cell, row: AccuracyRow) -> bool:
    eps = cell.threat.eps
    if eps is None or row.eps is None or eps == row.eps:
        return True
    return cell.goal == "verdict" and cell.rung != MASKING and eps < row.eps


def _gone(row: AccuracyRow) -> DataError:
    return DataError(
        f"{words(row)}: the stored config gives no such row here",
        hint="the name of a row says what it is, and this version may call it otherwise",
    )
