"""What the records of a cell depend on, but for the image."""

from pathlib import Path

from superdef_bench.benchmark import Benchmark, BuiltAttack, BuiltDefense, Source
from superdef_bench.fingerprint import fingerprint, sources
from superdef_bench.types import Threat

HARNESS = Path(__file__).with_name("shard.py")


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
