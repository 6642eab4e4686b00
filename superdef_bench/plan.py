"""What has to run: cells of defense, rung, attack and eps, in groups, cheap ones first."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from superdef_bench.benchmark import Benchmark, BuiltAttack, BuiltDefense
from superdef_bench.fingerprint import fingerprint, sources
from superdef_bench.types import Goal, Rung, Threat

SHARD = 64
_BACKWARD = 2.0  # a backward pass costs about two forward ones
_HARNESS = Path(__file__).with_name("shard.py")


@dataclass(frozen=True)
class Cell:
    """One number of the table: a defense under one attack at one eps.

    Attributes:
        eps: As the config writes it; empty without a ball.
        n: Images.
        key: Fingerprint of all that its records depend on but the image.
        settings: Hash of arguments, threat, goal, draws and seed only.
    """

    defense: str
    rung: str
    attack: str
    source: str
    goal: Goal
    threat: Threat
    eps: str
    n: int
    key: str
    settings: str


@dataclass(frozen=True)
class Group:
    """Cells that run together: the eps of one attack on one defense, ascending.

    Attributes:
        attack: None for the clean images.
        passes: The most forwards and backwards per image, over all cells; None if unknown.
        seconds: The most time it can take; None if unknown.
    """

    defense: BuiltDefense
    rung: Rung | None
    attack: BuiltAttack | None
    cells: tuple[Cell, ...]
    passes: tuple[int, int] | None
    seconds: float | None

    @property
    def n(self) -> int:
        return self.cells[0].n

    @property
    def title(self) -> str:
        attack = self.attack.name if self.attack else "clean"
        return " ".join(filter(None, (self.rung and str(self.rung), attack, self.cells[0].defense)))


@dataclass(frozen=True)
class Plan:
    """Groups in the order in which each shard runs them, and what does not apply."""

    groups: tuple[Group, ...]
    left_out: tuple[tuple[str, str, str], ...]  # defense, rung, why
    shards: int

    @property
    def cells(self) -> Iterator[Cell]:
        for group in self.groups:
            yield from group.cells


def example_key(benchmark: Benchmark, attack: BuiltAttack, threat: Threat) -> str:
    """Return the key of examples made on the bare classifier, without their images."""
    return fingerprint(
        "examples",
        attack.fingerprint,
        benchmark.task.model_fingerprint,
        threat,
        _goal(benchmark),
        benchmark.config.seed,
        sources(_HARNESS),
    )


def _goal(benchmark: Benchmark) -> tuple[int, str]:
    return benchmark.config.topk, benchmark.config.target


def make_plan(benchmark: Benchmark) -> Plan:
    """Lay out all cells that apply."""
    groups: list[Group] = []
    left_out: list[tuple[str, str, str]] = []
    for defense in benchmark.defenses:
        groups.append(_clean(benchmark, defense))
        # The undefended classifier is attacked once, in strength; that stands for every rung.
        undefended = defense.name == "none"
        for rung in [Rung.GRAY_BOX] if undefended else benchmark.config.rungs:
            why = "" if undefended else defense.applies(rung)
            if why:
                left_out.append((defense.name, str(rung), why))
                continue
            for attack in benchmark.attacks:
                wanted = undefended or rung in attack.rungs
                if wanted and (rung.replays or attack.attack.access == "gradient"):
                    groups.append(_attacked(benchmark, defense, rung, attack))
    order = {None: 0, Rung.GRAY_BOX: 1}
    groups.sort(key=lambda g: (order.get(g.rung, 2), g.seconds or 0.0))
    return Plan(tuple(groups), tuple(left_out), -(-benchmark.limit // SHARD))


def _images(benchmark: Benchmark, *limits: int | None) -> int:
    return min([benchmark.limit, *(limit for limit in limits if limit is not None)])


def _clean(benchmark: Benchmark, defense: BuiltDefense) -> Group:
    seed, n = benchmark.config.seed, _images(benchmark, defense.limit)
    cell = Cell(
        defense=defense.name,
        rung="",
        attack="none",
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
            seed,
            sources(_HARNESS),
        ),
        settings=fingerprint(defense.arguments, benchmark.config.topk, seed),
    )
    return Group(defense, None, None, (cell,), (1, 0), n * defense.seconds)


def _attacked(
    benchmark: Benchmark, defense: BuiltDefense, rung: Rung, attack: BuiltAttack
) -> Group:
    own = benchmark.config.limits.get(rung)
    # The attack on the undefended classifier is the gray-box one, whatever rung it stands for.
    n = _images(benchmark, defense.limit, attack.limit, own)
    cells = tuple(
        _cell(benchmark, defense, rung, attack, number, n) for number in range(len(attack.threats))
    )
    counts = [attack.passes(threat) for _, threat in attack.threats]
    passes, seconds = None, None
    if None not in counts:
        forwards, backwards = (sum(c[i] for c in counts if c) for i in (0, 1))
        passes = (forwards, backwards)
        # Examples of a replayed attack are made once; the row of `none` carries their cost.
        made_here = not rung.replays or defense.name == "none"
        work = (forwards + _BACKWARD * backwards) if made_here else len(cells)
        seconds = n * work * defense.seconds
    return Group(defense, rung, attack, cells, passes, seconds)


def _cell(
    benchmark: Benchmark,
    defense: BuiltDefense,
    rung: Rung,
    attack: BuiltAttack,
    number: int,
    n: int,
) -> Cell:
    config, task = benchmark.config, benchmark.task
    eps, threat = attack.threats[number]
    if rung.replays:
        examples = example_key(benchmark, attack, threat)
        key = fingerprint("replay", examples, defense.fingerprint, config.eightbit)
    else:
        # An image broken at a smaller eps keeps its example: the smaller ones are in the key.
        reached = [t for _, t in attack.threats[: number + 1]]
        parts = (attack.fingerprint, task.model_fingerprint, defense.fingerprint)
        scored = (reached, _goal(benchmark), config.eightbit, config.seed)
        key = fingerprint("verdict", rung, *parts, *scored, sources(_HARNESS))
    return Cell(
        defense=defense.name,
        rung=str(rung),
        attack=attack.name,
        source=task.model if rung.replays else defense.name,
        goal=rung.goal,
        threat=threat,
        eps=eps,
        n=n,
        key=key,
        settings=fingerprint(
            *(attack.arguments, defense.arguments, threat, rung.goal, 1),
            *(_goal(benchmark), config.eightbit, config.seed),
        ),
    )
