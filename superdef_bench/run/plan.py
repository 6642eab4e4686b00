"""What has to run: cells of defense, rung, attack and eps, in groups, cheap ones first."""

from collections.abc import Iterator

from superdef_bench.benchmark.built import Benchmark, BuiltAttack, BuiltDefense, Source
from superdef_bench.core.fingerprint import fingerprint, sources
from superdef_bench.core.threats import MASKING, NO_ATTACK, UNDEFENDED, Access, Rung, Threat
from superdef_bench.run.cells import (
    HARNESS,
    SHARD,
    Cell,
    Group,
    Plan,
    draws_of,
    example_key,
    goal_of,
    verdict_key,
)
from superdef_bench.run.probes import QUESTIONS, probing_attacks, questions

_DRAWN = ("repeat", "asked", "finite_difference")
_MINUTES = 120  # seconds from which on an estimate is told in minutes
_BACKWARD = 2.0  # a backward pass costs about two forward ones


def make_plan(benchmark: Benchmark) -> Plan:
    """Lay out all cells that apply."""
    groups: list[Group] = []
    left_out: list[tuple[str, str, str]] = []
    for defense in benchmark.defenses:
        groups.append(_clean(benchmark, defense))
        for rung in benchmark.config.rungs:
            why = _why(benchmark, defense, rung)
            if why and defense.name != UNDEFENDED:
                left_out.append((defense.name, str(rung), why))
        groups += _attacked(benchmark, defense)
        if benchmark.config.masking and any(rung.climbs for rung in benchmark.config.rungs):
            groups += _probed(benchmark, defense)
    groups.sort(key=lambda g: (_turn(g), g.seconds or 0.0))
    limit = benchmark.config.cell_seconds
    refused = dict(_refused(groups, limit)) if limit else {}
    return Plan(tuple(groups), tuple(left_out), -(-benchmark.limit // SHARD), refused)


def _why(benchmark: Benchmark, defense: BuiltDefense, rung: Rung) -> str:
    """Return why a rung does not apply to a defense, or nothing."""
    if not any(rung in attack.rungs for attack in benchmark.attacks):
        return "no attack names it in its rungs"
    return benchmark.left_out(defense, rung)


def _turn(group: Group) -> int:
    if group.clean:
        return 0
    return 1 if group.rung is not None and group.rung.replays else 2


def _attacked(benchmark: Benchmark, defense: BuiltDefense) -> Iterator[Group]:
    for attack in benchmark.attacks:
        for rung in Rung:
            if not _wanted(benchmark, defense, rung, attack):
                continue
            if not rung.replays:
                yield _known(benchmark, defense, rung, attack)
                continue
            for source in benchmark.sources:
                if source.rung is rung and source.itself is not defense:
                    yield _replayed(benchmark, defense, attack, source)


def _wanted(benchmark: Benchmark, defense: BuiltDefense, rung: Rung, attack: BuiltAttack) -> bool:
    asked = rung in attack.rungs and rung.takes(attack.attack.access)
    applies = asked and not benchmark.left_out(defense, rung)
    if not attack.runs_against(defense.name, stochastic=defense.stochastic):
        # What other rows replay is made on it.
        return applies and rung.replays and defense.name == UNDEFENDED
    if defense.name != UNDEFENDED or benchmark.answers_only:
        return applies
    if rung is Rung.GRAY_BOX:
        # Attacked once, in strength; that stands for every rung that was asked for.
        return any(attack.stands_for(other) for other in attack.rungs)
    if rung.replays:
        return applies
    gradients = attack.attack.access == Access.GRADIENT
    return bool(attack.judged_apart()) and rung is (Rung.WHITE_BOX if gradients else Rung.BLACK_BOX)


def images_of(benchmark: Benchmark, *limits: int | None) -> int:
    """Return how many images run under several limits."""
    return min([benchmark.limit, *(limit for limit in limits if limit is not None)])


def _clean(benchmark: Benchmark, defense: BuiltDefense) -> Group:
    seed, n = benchmark.config.seed, images_of(benchmark, defense.limit)
    draws = draws_of(benchmark, defense)
    cell = Cell(
        defense=defense.name,
        rung="",
        attack=NO_ATTACK,
        source="",
        goal="verdict",
        threat=Threat(benchmark.config.norm, None),
        eps="",
        n=n,
        key=fingerprint(
            "clean",
            benchmark.task.model_fingerprint,
            defense.fingerprint,
            benchmark.config.topk,
            draws,
            seed,
            sources(HARNESS),
        ),
        settings=fingerprint(defense.arguments, benchmark.config.topk, draws, seed),
        draws=draws,
    )
    return Group(defense, None, None, (cell,), (draws, 0), n * draws * defense.seconds)


def _replayed(
    benchmark: Benchmark, defense: BuiltDefense, attack: BuiltAttack, source: Source
) -> Group:
    """Return the cells of examples that are made on a source and replayed."""
    limits = benchmark.config.limits
    made = images_of(benchmark, attack.limit, limits.get(source.rung))
    if source.rung is Rung.GRAY_BOX:
        # The records of the undefended classifier stand for every rung asked for.
        stands = [rung for rung in attack.rungs if attack.stands_for(rung)]
        made = max(images_of(benchmark, attack.limit, limits.get(rung)) for rung in stands)
    n = images_of(benchmark, defense.limit, attack.limit, limits.get(source.rung))
    if defense.name == UNDEFENDED and source.rung is Rung.GRAY_BOX:
        n = made
    cells = []
    draws = draws_of(benchmark, defense)
    for eps, threat in attack.threats:
        examples = example_key(benchmark, attack, source, threat)
        parts = (defense.fingerprint, benchmark.task.model_fingerprint, draws)
        key = fingerprint(
            *("replay", source.rung, source.name, examples, *parts, benchmark.config.eightbit)
        )
        cells.append(_cell(benchmark, defense, source.rung, attack, eps, threat, n, key, source))
    passes = _passes(attack, strength=True)
    seconds = n * float(len(cells) * draws) * defense.seconds
    if defense.name == UNDEFENDED and passes:
        # Examples are made once for all rows; this one carries their cost.
        seconds = _making(source, made, cells[0].eot, passes)
    return Group(
        defense, source.rung, attack, tuple(cells), passes, seconds, source, made, source.gradient
    )


def _known(benchmark: Benchmark, defense: BuiltDefense, rung: Rung, attack: BuiltAttack) -> Group:
    """Return the cells of an attack that knows the defense."""
    limits = benchmark.config.limits
    # The undefended classifier is attacked once for every rung asked for.
    rungs = (defense.name == UNDEFENDED and attack.judged_apart()) or (rung,)
    n = max(images_of(benchmark, defense.limit, attack.limit, limits.get(r)) for r in rungs)
    cells = []
    for number, (eps, threat) in enumerate(attack.threats):
        # An image broken at a smaller eps keeps its example: the smaller ones are in the key.
        reached = [t for _, t in attack.threats[: number + 1]]
        key = verdict_key(benchmark, defense, rung, attack, reached)
        cells.append(_cell(benchmark, defense, rung, attack, eps, threat, n, key, None))
    passes = _passes(attack, strength=benchmark.config.eightbit)
    eot, seconds = cells[0].eot, None
    if passes:
        seconds = n * eot * (passes[0] + _BACKWARD * passes[1]) * defense.seconds
    gradient = "bpda" if rung is Rung.BPDA else "exact"
    return Group(
        defense,
        rung,
        attack,
        tuple(cells),
        passes,
        seconds,
        None,
        n,
        gradient,  # type: ignore[arg-type]  # one of the two views
    )


def _passes(attack: BuiltAttack, *, strength: bool = False) -> tuple[int, int] | None:
    """Return the most forwards and backwards per image over all eps."""
    counts = [attack.passes(threat, strength=strength) for _, threat in attack.threats]
    if None in counts:
        return None
    forwards, backwards = (sum(c[i] for c in counts if c) for i in (0, 1))
    return forwards, backwards


def _probed(benchmark: Benchmark, defense: BuiltDefense) -> Iterator[Group]:
    """Yield the probes of a defense's gradient."""
    n = images_of(benchmark, defense.limit, benchmark.config.masking)
    if not benchmark.answers_only:
        for attack, eot in probing_attacks(benchmark, defense):
            eps, threat = attack.threats[0]
            rung = f"{MASKING}/{defense.gradient}/{eot}"
            key = verdict_key(benchmark, defense, rung, attack, [threat])
            cell = _cell(benchmark, defense, None, attack, eps, threat, n, key, None, eot)
            passes = _passes(attack) or (0, 0)
            seconds = n * eot * (passes[0] + _BACKWARD * passes[1]) * defense.seconds
            gradient = defense.gradient or "exact"
            yield Group(defense, None, attack, (cell,), passes, seconds, None, n, gradient)
    for name in questions(benchmark, defense):
        if name in _DRAWN and defense.stochastic and not defense.protected.transforms:
            continue  # whose draws are its own gives another answer each time
        question = QUESTIONS[name]
        few = min(n, question.most)
        parts = (name, benchmark.task.model_fingerprint, defense.fingerprint)
        cell = Cell(
            defense=defense.name,
            rung=MASKING,
            attack=name,
            source=defense.name,
            goal="verdict",
            threat=Threat(benchmark.config.norm, None),
            eps="",
            n=few,
            key=fingerprint("question", *parts, benchmark.config.seed, sources(HARNESS)),
            settings=fingerprint(defense.arguments, name, benchmark.config.seed),
        )
        forwards, backwards = question.passes
        seconds = few * (forwards + _BACKWARD * backwards) * defense.seconds
        yield Group(
            defense,
            None,
            None,
            (cell,),
            question.passes,
            seconds,
            gradient=defense.gradient or "exact",
            probe=name,
        )


def _cell(
    benchmark: Benchmark,
    defense: BuiltDefense,
    rung: Rung | None,
    attack: BuiltAttack,
    eps: str,
    threat: Threat,
    n: int,
    key: str,
    source: Source | None,
    eot: int | None = None,
) -> Cell:
    config = benchmark.config
    goal = "verdict" if rung is None else rung.goal
    draws = draws_of(benchmark, defense)
    if eot is None:
        attacked = source.protected if source else defense.protected
        follows = attacked.stochastic and attack.batch_dependent is False
        eot = config.eot if follows and rung is not Rung.BLACK_BOX else 1
    return Cell(
        defense=defense.name,
        rung=MASKING if rung is None else str(rung),
        attack=attack.name,
        source=source.name if source else defense.name,
        goal=goal,
        threat=threat,
        eps=eps,
        n=n,
        key=key,
        settings=fingerprint(
            *(attack.arguments, defense.arguments, threat, goal, draws, eot),
            *(goal_of(benchmark), config.eightbit, config.seed),
        ),
        draws=draws,
        eot=eot,
    )


def _making(source: Source, made: int, eot: int, passes: tuple[int, int]) -> float:
    """Return the most seconds that examples to replay can take."""
    return made * eot * (passes[0] + _BACKWARD * passes[1]) * source.seconds


def _refused(groups: list[Group], limit: int) -> Iterator[tuple[str, str]]:
    """Yield what would take too long, with its estimate; clean images and probes never do."""
    for group in groups:
        seconds = group.seconds
        if group.source and group.passes:
            # What counts of a replay is how long its examples take; it is one pass itself.
            seconds = _making(group.source, group.made, group.cells[0].eot, group.passes)
        if group.cells[0].rung in ("", MASKING) or seconds is None:
            continue
        each = seconds / len(group.cells)
        if each > limit:
            estimate = f"{each:.0f} s" if each < _MINUTES else f"{each / 60:.0f} min"
            for cell in group.cells:
                yield cell.key, f"refused: up to {estimate}, cell_seconds is {limit}"
