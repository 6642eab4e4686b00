"""The results document: everything that a leaderboard, a plot or a gate needs to know."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import torch

from superdef_bench.benchmark.built import Benchmark, BuiltDefense
from superdef_bench.core.threats import CLEAN, MASKING, NO_TARGET, UNDEFENDED, Rung, parse_eps
from superdef_bench.io.machine import machine, versions
from superdef_bench.measure.run_costs import RunCosts
from superdef_bench.results.aggregate import PROBE, CellRecords, add_conditional
from superdef_bench.results.facts import SCHEMA, Attack, Resized
from superdef_bench.results.masking import report
from superdef_bench.results.schema import AccuracyRow, Results
from superdef_bench.results.statistics import unpack_bits
from superdef_bench.results.worst import worst_rows
from superdef_bench.run.cells import SHARD, Cell, Group, Plan
from superdef_bench.run.completeness import missing, suspicion_of
from superdef_bench.run.facts import attack_facts, dataset_facts, model_facts, threat_facts
from superdef_bench.run.records import Outcome


def describe(
    benchmark: Benchmark,
    plan: Plan,
    outcome: Outcome,
    costs: RunCosts,
    resized: Resized | None,
    *,
    command: str,
    folder: str,
    seconds: float,
) -> Results:
    """Return the results of a finished run."""
    config = benchmark.config
    accuracy: list[dict[str, Any]] = []
    for defense in benchmark.defenses:
        cells = cells_of(benchmark, plan, outcome, defense, forward=costs.forward[defense.name])
        for cell in cells:
            accuracy += cell.rows()
        if any(cell.kind == CLEAN for cell in cells):
            accuracy += worst_rows(cells)
    bare = [row for row in accuracy if row["defense"] == UNDEFENDED and not row["rung"]]
    add_conditional(accuracy, unpack_bits(bare[0]["verdicts"], bare[0]["n"]) if bare else None)
    rows = [AccuracyRow.model_validate(row) for row in accuracy]
    attacks = {attack.name: attack_facts(attack) for attack in benchmark.attacks}
    document = {
        "schema": SCHEMA,
        "name": config.name,
        "provenance": {
            "command": command,
            "folder": folder,
            "versions": versions(),
            "machine": machine(str(benchmark.device)),
            "threads": torch.get_num_threads(),
            "reference_ms": costs.reference_ms,
            "batch_size": config.batch_size,
            "layouts": dict(benchmark.layouts),
            "seconds": round(seconds, 1),
            "records": {"reused": outcome.reused, "computed": outcome.computed},
        },
        "config": config.model_dump(),
        "dataset": dataset_facts(benchmark).model_dump(),
        "model": model_facts(benchmark).model_dump(),
        "threat": threat_facts(benchmark).model_dump(),
        "rungs": [str(rung) for rung in config.rungs],
        "seed": config.seed,
        "sources": [
            {
                "name": source.name,
                "rung": str(source.rung),
                "gradient": source.gradient,
                "same": source.fingerprint == benchmark.task.model_fingerprint,
            }
            for source in benchmark.sources
        ],
        "attacks": {name: attack.model_dump() for name, attack in attacks.items()},
        "defenses": {
            defense.name: _defense(benchmark, plan, outcome, defense, rows, attacks)
            for defense in benchmark.defenses
        },
        "accuracy": accuracy,
        "cost": list(costs.rows),
        "failures": [
            {**_columns(benchmark, cell), "error": outcome.failures[cell.key]}
            for cell in plan.cells
            if cell.key in outcome.failures
        ],
        "refused": [
            {**_columns(benchmark, cell), "why": plan.refused[cell.key]}
            for cell in plan.cells
            if cell.key in plan.refused
        ],
        "not_applicable": [
            {"defense": defense, "rung": rung, "why": why} for defense, rung, why in plan.left_out
        ],
    }
    if resized is not None:
        document["undefended_at"] = resized.model_dump()
    return Results.of(document)


def cells_of(
    benchmark: Benchmark,
    plan: Plan,
    outcome: Outcome,
    defense: BuiltDefense,
    *,
    forward: float = 0.0,
) -> list[CellRecords]:
    """Return the records of each cell of a defense, each knowing how clean images do.

    Args:
        benchmark: What was run.
        plan: Its cells.
        outcome: Their records.
        defense: Whose cells.
        forward: Seconds of a pass per image, for what records do not time: scores and probes.
    """
    cells = list(_records(benchmark, plan, outcome, defense, forward))
    clean = next((cell for cell in cells if cell.kind == CLEAN), None)
    right = None if clean is None else clean.shares(None)
    return [replace(cell, clean=right) for cell in cells]


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
        "target": benchmark.config.target if cell.rung and aims else NO_TARGET,
        "norm": cell.threat.norm,
        "eps": cell.threat.eps,
        "settings": cell.settings,
        "draws": cell.draws,
        "eot": cell.eot,
    }


def _records(
    benchmark: Benchmark, plan: Plan, outcome: Outcome, defense: BuiltDefense, forward: float
) -> Iterator[CellRecords]:
    """Yield the records of each cell of a defense that has any, complete or not."""
    for group in plan.groups:
        if group.defense is not defense:
            continue
        before = 0.0
        for cell in group.cells:
            tables = outcome.tables.get(cell.key)
            if not tables or cell.key in outcome.failures:
                continue
            attack, table = group.attack, pa.concat_tables(tables)
            spent = _spent(group, cell, table, forward)
            # In verdict the smaller eps come first: what they broke is not attacked again.
            before = spent = spent + (before if cell.goal == "verdict" else 0.0)
            clean = 0.0 if group.clean else cell.draws * forward
            records = CellRecords(
                cell=_columns(benchmark, cell, aims=attack is None or attack.aims),
                kind=_kind(group),
                counted=bool(attack and attack.counted),
                eps=[parse_eps(text) for text in attack.eps] if attack else [],
                table=table,
                classes=benchmark.task.num_classes,
                spent=spent + clean,
                made=group.made,
                shard=SHARD,
            )
            itself = attack and defense.name == UNDEFENDED and not benchmark.answers_only
            if attack and itself and group.rung is Rung.GRAY_BOX:
                stands = [rung for rung in attack.rungs if attack.stands_for(rung)]
                yield from _undefended(records, stands, benchmark.config.limits)
            elif attack and itself and group.rung and not group.rung.replays:
                yield from _undefended(records, attack.judged_apart(), benchmark.config.limits)
            else:
                yield records


def _spent(group: Group, cell: Cell, table: pa.Table, forward: float) -> float:
    """Return the seconds per image of a cell's examples, also those made elsewhere, and scores."""
    if group.probe:
        passes = (group.seconds or 0.0) / max(group.defense.seconds, 1e-9)
        return passes * forward / group.n
    attack = float(pa.compute.sum(table["seconds"]).as_py() or 0.0) / len(table)
    return attack + cell.draws * forward


def _kind(group: Group) -> str:
    if group.cells[0].rung == MASKING:
        return PROBE
    return group.attack.attack.kind if group.attack else CLEAN


def _undefended(
    records: CellRecords, rungs: Sequence[Rung], limits: Mapping[str, int]
) -> Iterator[CellRecords]:
    """Yield the undefended records under each rung: there is nothing to know of."""
    for rung in rungs:
        cell = {**records.cell, "rung": str(rung)}
        yield replace(records, cell=cell, limit=limits.get(rung))


def _defense(
    benchmark: Benchmark,
    plan: Plan,
    outcome: Outcome,
    defense: BuiltDefense,
    accuracy: Sequence[AccuracyRow],
    attacks: Mapping[str, Attack],
) -> dict[str, Any]:
    rows = [row for row in accuracy if row.defense == defense.name]
    judged = report(
        rows,
        eps=parse_eps(benchmark.config.eps[-1]),
        attacks=attacks,
        stochastic=defense.stochastic,
        num_classes=benchmark.task.num_classes,
    )
    suspicion = suspicion_of(plan, outcome, defense, rows)
    return {
        "arguments": dict(defense.arguments),
        "differentiable": defense.differentiable,
        "stochastic": defense.stochastic,
        "stages": len(defense.protected.transforms),
        "replaces": defense.replaces,
        "attack_view": defense.protected.has_attack_view,
        "limit": defense.limit,
        "suspicion": suspicion,
        "masking": judged.to_json(),
        "missing": list(missing(benchmark, plan, outcome, defense, trusted=not suspicion)),
    }
