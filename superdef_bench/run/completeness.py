"""What keeps a defense out of the ranking: cells that did not run, gradients not to be trusted."""

from collections.abc import Iterator, Sequence

from superdef_bench.benchmark.built import Benchmark, BuiltAttack, BuiltDefense
from superdef_bench.core.threats import CLEAN, UNDEFENDED, Access, AttackKind, Rung, parse_eps
from superdef_bench.results.schema import AccuracyRow
from superdef_bench.run.cells import Cell, Group, Plan
from superdef_bench.run.records import Outcome


def suspicion_of(
    plan: Plan,
    outcome: Outcome,
    defense: BuiltDefense,
    rows: Sequence[AccuracyRow],
) -> str:
    """Return why exact gradients are not to be trusted, or nothing."""
    for group in plan.groups:
        cell = group.cells[0]
        failed = group.probe == "finite_difference" and cell.key in outcome.failures
        if failed and group.defense is defense and rows:
            return f"its gradient could not be probed: {outcome.failures[cell.key]}"
    for row in rows:
        if row.probe and row.attack == "finite_difference":
            bad = row.n - row.correct
            if 2 * bad > row.n:
                return (
                    f"autograd disagrees with a finite difference on {bad} of {row.n} images: "
                    "a detach, no_grad or rounding is hidden in it"
                )
    return ""


def missing(
    benchmark: Benchmark,
    plan: Plan,
    outcome: Outcome,
    defense: BuiltDefense,
    *,
    trusted: bool,
) -> Iterator[str]:
    """Yield what keeps a defense out of the ranking."""
    if benchmark.answers_only:
        yield "the classifier gives no gradient"
    for group in plan.groups:
        if group.defense is not defense or not _required(group):
            continue
        for cell in group.cells:
            why = outcome.failures.get(cell.key) or plan.refused.get(cell.key)
            if why:
                yield f"{_title(group, cell)}: {why}"
    last = benchmark.config.eps[-1]
    stochastic = defense.stochastic
    met = [a for a in benchmark.attacks if a.runs_against(defense.name, stochastic=stochastic)]
    counted = [a for a in met if a.counted]
    if counted and not any(parse_eps(last) in map(parse_eps, a.eps) for a in counted):
        yield f"no counted attack at the last eps, {last}"
    knowing = [a for a in met if _knows(a)]
    if not knowing:
        only = f", for {'random' if stochastic else 'deterministic'} ones"
        yield "no counted attack that knows the defense was asked for" + only * (
            len(met) < len(benchmark.attacks)
        )
    if defense.name == UNDEFENDED:
        return
    usable = [
        rung
        for rung in benchmark.config.rungs
        if rung.climbs
        and not benchmark.left_out(defense, rung)
        and (trusted or rung is not Rung.WHITE_BOX)
    ]
    for attack in knowing:
        if not any(rung in usable for rung in attack.rungs):
            yield f"{attack.name}: no gradient rung that applies and can be trusted"


def _required(group: Group) -> bool:
    """Return whether a group must be complete for a rank: clean, or in a worst case."""
    if group.attack is None or group.rung is None:
        return group.clean
    undefended = group.defense.name == UNDEFENDED
    if undefended and group.rung.replays and group.rung is not Rung.GRAY_BOX:
        return False
    replayed = group.rung.replays and group.attack.attack.kind == AttackKind.MINIMAL
    return group.attack.counted and (not replayed or undefended)


def _knows(attack: BuiltAttack) -> bool:
    asked = any(rung.climbs for rung in attack.rungs)
    return attack.counted and asked and attack.attack.access == Access.GRADIENT


def _title(group: Group, cell: Cell) -> str:
    attack = CLEAN if group.clean else cell.attack
    return " ".join(filter(None, (cell.rung, attack, cell.eps)))
