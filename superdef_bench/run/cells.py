"""Cells of the table, groups of them that run together, and the plan they make up."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from superdef_bench.benchmark.built import Benchmark, BuiltAttack, BuiltDefense, Source
from superdef_bench.core.fingerprint import fingerprint, sources
from superdef_bench.core.layout import key_parts
from superdef_bench.core.threats import CLEAN, Goal, Rung, Threat
from superdef_bench.core.transform import Gradient

SHARD = 64


@dataclass(frozen=True)
class Cell:
    """One number of the table: a defense under one attack at one eps.

    Attributes:
        rung: Empty for clean images, `masking` where a gradient is probed.
        source: What was attacked.
        eps: As the config writes it; empty without a ball.
        n: Images.
        key: Fingerprint of all that its records depend on but the image.
        settings: Hash of arguments, threat, goal, draws and seed only.
        draws: Draws by which the defense is scored.
        eot: Draws per gradient.
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
    draws: int = 1
    eot: int = 1


@dataclass(frozen=True)
class Group:
    """Cells that run together: the eps of one attack on one defense, ascending.

    Attributes:
        rung: None for clean images and probes.
        attack: None for clean images, and for a probe that only asks.
        passes: The most forwards and backwards per image, over all cells; None if unknown.
        seconds: The most time it can take; None if unknown.
        source: What the examples to replay are made on.
        made: Images whose examples are made; replayed ones are made for all rows together.
        gradient: The view that the attack gets.
        probe: Name of the question that a probe asks of the classifier.
    """

    defense: BuiltDefense
    rung: Rung | None
    attack: BuiltAttack | None
    cells: tuple[Cell, ...]
    passes: tuple[int, int] | None
    seconds: float | None
    source: Source | None = None
    made: int = 0
    gradient: Gradient = "exact"
    probe: str = ""

    @property
    def n(self) -> int:
        return self.cells[0].n

    @property
    def clean(self) -> bool:
        return self.attack is None and not self.probe

    @property
    def title(self) -> str:
        """What is being done, for who watches: the defense, the attack, and what it knows."""
        cell = self.cells[0]
        if self.clean:
            return f"scoring: {cell.defense} · {CLEAN}"
        doing = "probing" if self.probe else "attacking"
        return f"{doing}: " + " · ".join(filter(None, (cell.defense, cell.attack, cell.rung)))


@dataclass(frozen=True)
class Plan:
    """What runs, in the order in which each shard runs it, and what does not.

    Attributes:
        left_out: Defense, rung and why, for rungs that do not apply.
        refused: Why a cell is not run although it applies, by its key.
    """

    groups: tuple[Group, ...]
    left_out: tuple[tuple[str, str, str], ...]
    shards: int
    refused: Mapping[str, str]

    @property
    def cells(self) -> Iterator[Cell]:
        for group in self.groups:
            yield from group.cells


HARNESS = Path(__file__).with_name("worker.py")


def example_key(benchmark: Benchmark, attack: BuiltAttack, source: Source, threat: Threat) -> str:
    """Return the key of examples to replay, without their images."""
    eot = benchmark.config.eot if source.protected.stochastic else 1
    return fingerprint(
        "examples",
        attack.fingerprint,
        source.fingerprint,
        threat,
        goal_of(benchmark),
        eot,
        benchmark.config.seed,
        sources(HARNESS),
        *key_parts(source.protected.layout),
    )


def verdict_key(
    benchmark: Benchmark,
    defense: BuiltDefense,
    rung: str,
    attack: BuiltAttack,
    reached: list[Threat],
) -> str:
    """Return the key of a cell whose attack knows the defense.

    Args:
        benchmark: The benchmark.
        defense: What is attacked.
        rung: The rung, or what probes it.
        attack: The attack.
        reached: Balls up to that of the cell.
    """
    config = benchmark.config
    random = (config.draws, config.eot) if defense.stochastic else ()
    parts = (attack.fingerprint, benchmark.task.model_fingerprint, defense.fingerprint, random)
    scored = (reached, goal_of(benchmark), config.eightbit, config.seed)
    return fingerprint("verdict", rung, *parts, *scored, sources(HARNESS))


def goal_of(benchmark: Benchmark) -> tuple[int, str]:
    """Return what counts as fooled."""
    return benchmark.config.topk, benchmark.config.target


def draws_of(benchmark: Benchmark, defense: BuiltDefense) -> int:
    """Return by how many draws a defense is scored."""
    return benchmark.config.draws if defense.stochastic else 1
