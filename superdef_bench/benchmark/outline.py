"""What can be said of a benchmark while its data or weights are not there yet."""

from collections.abc import Iterator
from dataclasses import dataclass

from superdef_bench.benchmark.build import check_rows, late_choices
from superdef_bench.benchmark.config import Config
from superdef_bench.benchmark.downloads import downloads_of
from superdef_bench.benchmark.mistakes import Document, Mistakes
from superdef_bench.core.plugins import Registry
from superdef_bench.core.threats import AttackKind, Rung
from superdef_bench.core.types import Attack
from superdef_bench.io.downloads import Download


@dataclass(frozen=True)
class Attacked:
    """An attack on a rung.

    Attributes:
        eps: Radii; empty for an attack that runs once for all of them.
        limit: The most images of a row.
    """

    rung: Rung
    attack: str
    eps: tuple[str, ...]
    limit: int


@dataclass(frozen=True)
class Outline:
    """A benchmark whose names and arguments fit, before its images and classifier are there.

    Attributes:
        downloads: What comes first, in order; empty where all is there.
        attacked: What would run, by rung; a rung that does not apply to a row is left out there.
    """

    config: Config
    downloads: list[Download]
    attacked: list[Attacked]


def outline(config: Config, registry: Registry, document: Document) -> Outline:
    """Check a benchmark as `build` does, and lay out what it would run; nothing is downloaded.

    Raises:
        ConfigError: A name or argument does not fit; several as `MistakesError`.
        PluginError: A plugin cannot be built.
        DataError: Weights of a defense are missing or damaged.
    """
    mistakes = Mistakes(document)
    plugins, built = check_rows(config, registry, mistakes)
    mistakes.settle()
    downloads = downloads_of((plugins[id(choice)], choice) for choice, _ in late_choices(config))
    attacks = {row.name: built[id(row)] for row in config.attacks}
    return Outline(config, downloads, list(_attacked(config, attacks)))


def _attacked(config: Config, attacks: dict[str, Attack]) -> Iterator[Attacked]:
    lent = {source.kind for source in config.sources}
    lacking = {Rung.TRANSFER: "model" not in lent, Rung.SURROGATE: "defense" not in lent}
    for rung in config.rungs:
        for row in config.attacks:
            attack = attacks[row.name]
            asked = rung in (row.rungs or config.rungs) and rung.takes(attack.access)
            if asked and not lacking.get(rung):
                eps = (row.eps or config.eps) if attack.kind == AttackKind.BUDGET else ()
                limits = [config.limit, row.limit, config.limits.get(rung)]
                yield Attacked(rung, row.name, eps, min(n for n in limits if n is not None))
