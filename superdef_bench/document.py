"""The results document: everything that a leaderboard, a plot or a gate needs to know."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from superdef_bench.aggregate import CellRecords, add_conditional, worst_rows
from superdef_bench.benchmark import Benchmark, BuiltAttack, BuiltDefense
from superdef_bench.cost import cost_rows
from superdef_bench.fields import parse_eps
from superdef_bench.plan import Cell, Group, Plan
from superdef_bench.provenance import machine, versions
from superdef_bench.results import SCHEMA
from superdef_bench.statistics import unpack_bits
from superdef_bench.types import Rung

if TYPE_CHECKING:
    from superdef_bench.runner import Outcome


def describe(
    benchmark: Benchmark,
    plan: Plan,
    outcome: "Outcome",
    *,
    command: str,
    folder: str,
    seconds: float,
) -> dict[str, Any]:
    """Return the JSON document of a finished run."""
    config, task = benchmark.config, benchmark.task
    eps = [parse_eps(text) for text in config.eps]
    accuracy: list[dict[str, Any]] = []
    for defense in benchmark.defenses:
        cells = _with_errors(list(_records(benchmark, plan, outcome, defense)))
        for cell in cells:
            accuracy += cell.rows()
        if any(cell.kind == "clean" for cell in cells):
            accuracy += worst_rows(cells)
    bare = [row for row in accuracy if row["defense"] == "none" and not row["rung"]]
    if bare:
        add_conditional(accuracy, unpack_bits(bare[0]["verdicts"], bare[0]["n"]))
    return {
        "schema": SCHEMA,
        "name": config.name,
        "provenance": {
            "command": command,
            "folder": folder,
            "versions": versions(),
            "machine": machine(str(benchmark.device)),
            "batch_size": config.batch_size,
            "seconds": round(seconds, 1),
            "records": {"reused": outcome.reused, "computed": outcome.computed},
        },
        "config": asdict(config),
        "dataset": {
            "name": task.dataset,
            "split": benchmark.dataset.split,
            "sha256": task.sha256,
            "images": benchmark.limit,
            "classes": task.num_classes,
            "shape": list(task.input_shape),
        },
        "model": {"name": task.model, "fingerprint": task.model_fingerprint},
        "threat": {
            "norm": config.norm,
            "eps": eps,
            "topk": config.topk,
            "target": config.target,
            "eightbit": config.eightbit,
        },
        "rungs": [str(rung) for rung in config.rungs],
        "seed": config.seed,
        "attacks": {attack.name: _attack(attack) for attack in benchmark.attacks},
        "defenses": {
            defense.name: _defense(benchmark, plan, outcome, defense)
            for defense in benchmark.defenses
        },
        "accuracy": accuracy,
        "cost": list(_costs(benchmark)),
        "failures": [
            {**_columns(benchmark, cell), "error": outcome.failures[cell.key]}
            for cell in plan.cells
            if cell.key in outcome.failures
        ],
        "not_applicable": [
            {"defense": defense, "rung": rung, "why": why} for defense, rung, why in plan.left_out
        ],
    }


def _columns(benchmark: Benchmark, cell: Cell, *, aims: bool = True) -> dict[str, Any]:
    return {
        "dataset": benchmark.task.dataset,
        "model": benchmark.task.model,
        "defense": cell.defense,
        "rung": cell.rung,
        "source": cell.source,
        "attack": cell.attack,
        "goal": cell.goal,
        "topk": benchmark.config.topk,
        "target": benchmark.config.target if cell.rung and aims else "none",
        "norm": cell.threat.norm,
        "eps": cell.threat.eps,
        "settings": cell.settings,
        "draws": 1,
    }


def _records(
    benchmark: Benchmark, plan: Plan, outcome: "Outcome", defense: BuiltDefense
) -> Iterator[CellRecords]:
    """Yield the records of each cell of a defense that has any, complete or not."""
    for group in plan.groups:
        if group.defense is not defense:
            continue
        for cell in group.cells:
            tables = outcome.tables.get(cell.key)
            if not tables or cell.key in outcome.failures:
                continue
            attack = group.attack
            records = CellRecords(
                cell=_columns(benchmark, cell, aims=attack is None or attack.aims),
                kind=attack.attack.kind if attack else "clean",
                counted=bool(attack and attack.counted),
                eps=[parse_eps(text) for text in attack.eps] if attack else [],
                table=pa.concat_tables(tables),
            )
            if attack and defense.name == "none":
                yield from _undefended(records, attack, benchmark.config.limits)
            else:
                yield records


def _with_errors(cells: list[CellRecords]) -> list[CellRecords]:
    """Return the cells of a defense, each knowing what the defense gets wrong when clean."""
    clean = next((cell for cell in cells if cell.kind == "clean"), None)
    wrong = None if clean is None else ~clean.right(None)
    return [replace(cell, wrong=wrong) for cell in cells]


def _undefended(
    records: CellRecords, attack: BuiltAttack, limits: Mapping[str, int]
) -> Iterator[CellRecords]:
    """Yield the undefended records under each rung of the attack: there is nothing to know of."""
    for rung in attack.rungs:
        if rung.replays or attack.attack.access == "gradient":
            cell = {**records.cell, "rung": str(rung)}
            yield replace(records, cell=cell, limit=limits.get(rung))


def _attack(attack: BuiltAttack) -> dict[str, Any]:
    return {
        "arguments": dict(attack.arguments),
        "kind": attack.attack.kind,
        "access": attack.attack.access,
        "norm": attack.norm,
        "eps": [parse_eps(text) for text in attack.eps],
        "rungs": [str(rung) for rung in attack.rungs],
        "limit": attack.limit,
        "counted": attack.counted,
    }


def _defense(
    benchmark: Benchmark, plan: Plan, outcome: "Outcome", defense: BuiltDefense
) -> dict[str, Any]:
    return {
        "arguments": dict(defense.arguments),
        "differentiable": defense.differentiable,
        "stochastic": defense.stochastic,
        "stages": len(defense.protected.transforms),
        "replaces": defense.replaces,
        "limit": defense.limit,
        "suspicion": _suspicion(plan, outcome, defense),
        "missing": list(_missing(benchmark, plan, outcome, defense)),
    }


def _suspicion(plan: Plan, outcome: "Outcome", defense: BuiltDefense) -> str:
    """Return why the gradient of a defense that works at all is not to be trusted."""
    clean = next(g for g in plan.groups if g.defense is defense and g.attack is None)
    failed = clean.cells[0].key in outcome.failures
    return "" if failed else outcome.suspicions.get(defense.name, "")


def _missing(
    benchmark: Benchmark, plan: Plan, outcome: "Outcome", defense: BuiltDefense
) -> Iterator[str]:
    """Yield what keeps a defense out of the ranking."""
    if defense.stochastic:
        yield "stochastic: not scored over draws"
    for group in plan.groups:
        if group.defense is not defense or not _required(group):
            continue
        for cell in group.cells:
            if cell.key in outcome.failures:
                yield f"{_title(group, cell)}: {outcome.failures[cell.key]}"
    last = benchmark.config.eps[-1]
    counted = [a for a in benchmark.attacks if a.counted]
    if counted and not any(parse_eps(last) in map(parse_eps, a.eps) for a in counted):
        yield f"no counted attack at the last eps, {last}"
    knowing = [a for a in benchmark.attacks if _knows(a)]
    if not knowing:
        yield "no counted attack that knows the defense was asked for"
    if defense.name == "none":
        return
    trusted = [rung for rung in benchmark.config.rungs if not defense.applies(rung)]
    if outcome.suspicions.get(defense.name):
        trusted = [rung for rung in trusted if rung is not Rung.WHITE_BOX]
    for attack in knowing:
        if not any(rung in trusted and not rung.replays for rung in attack.rungs):
            yield f"{attack.name}: no gradient rung that applies and can be trusted"


def _required(group: Group) -> bool:
    """Return whether a group must be complete for a rank: clean, or in a worst case."""
    if group.attack is None:
        return True
    replayed = group.rung is Rung.GRAY_BOX and group.attack.attack.kind == "minimal"
    return group.attack.counted and (not replayed or group.defense.name == "none")


def _knows(attack: BuiltAttack) -> bool:
    asked = any(not rung.replays for rung in attack.rungs)
    return attack.counted and asked and attack.attack.access == "gradient"


def _title(group: Group, cell: Cell) -> str:
    return " ".join(filter(None, (cell.rung, cell.attack if group.attack else "clean", cell.eps)))


def _costs(benchmark: Benchmark) -> Iterator[dict[str, Any]]:
    image = benchmark.dataset.load([0])[0].to(benchmark.device)
    for defense in benchmark.defenses:
        try:
            yield from cost_rows(defense.name, benchmark.task.model, defense.protected, image)
        except Exception:  # noqa: S112  # a defense that cannot run has failed cells that say so
            continue
