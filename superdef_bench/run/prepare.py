"""From the name of a config to a benchmark that is built and planned."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack

import torch

from superdef_bench.benchmark.build import build, check_rows
from superdef_bench.benchmark.built import Benchmark
from superdef_bench.benchmark.config import Config, find_config, load_config
from superdef_bench.benchmark.mistakes import Document, Mistakes
from superdef_bench.benchmark.outline import Outline, outline
from superdef_bench.core.plugins import Registry
from superdef_bench.run.cells import Plan
from superdef_bench.run.manifest import kept_layouts
from superdef_bench.run.plan import make_plan


class Selection(TypedDict, total=False):
    """What a caller changes of a config, as `Config.select` takes it."""

    defenses: Sequence[str]
    attacks: Sequence[str]
    rungs: Sequence[str]
    model: str | None
    dataset: str | None
    norm: str | None
    eps: Sequence[str]
    limit: int | None
    batch_size: int | None
    seed: int | None
    eightbit: bool


@dataclass(frozen=True)
class Prepared:
    """A benchmark that is ready to run.

    Attributes:
        path: File of its config.
        benchmark: What the config names, built.
        plan: What runs.
        folder: Run folder.
    """

    path: Path
    benchmark: Benchmark
    plan: Plan
    folder: Path


def prepare(
    config: str,
    registry: Registry,
    device: torch.device,
    *,
    out: Path | None = None,
    **selection: Unpack[Selection],
) -> Prepared:
    """Return the benchmark of a config, built and planned; nothing is attacked.

    Args:
        config: TOML file, or the name of a shipped config.
        registry: Plugins.
        device: Where to compute.
        out: Run folder; by default `runs/<config>`.
        selection: What to keep of the config, or to change.

    Raises:
        ConfigError: The file cannot be read, or a name, argument or size does not fit; several
            mistakes as `MistakesError`.
        PluginError: A plugin cannot be built.
        DataError: Data or weights are missing or damaged.
    """
    chosen, document = _chosen(config, registry, selection)
    folder = out or Path("runs") / find_config(config).stem
    benchmark = build(chosen, registry, device, document, layouts=kept_layouts(folder))
    return Prepared(find_config(config), benchmark, make_plan(benchmark), folder)


def outlined(config: str, registry: Registry, **selection: Unpack[Selection]) -> Outline:
    """Return what can be said of the benchmark of a config before anything is downloaded.

    Args:
        config: TOML file, or the name of a shipped config.
        registry: Plugins.
        selection: What to keep of the config, or to change.

    Raises:
        ConfigError: The file cannot be read, or a name or argument does not fit; several
            mistakes as `MistakesError`.
        PluginError: A plugin cannot be built.
        DataError: Weights of a defense are missing or damaged.
    """
    chosen, document = _chosen(config, registry, selection)
    return outline(chosen, registry, document)


def _chosen(config: str, registry: Registry, selection: Selection) -> tuple[Config, Document]:
    """Return what a caller wants of a config, and where it stands."""
    path = find_config(config)
    replaced = frozenset(("run", key) for key in ("dataset", "model") if selection.get(key))

    def check(draft: Config, mistakes: Mistakes) -> None:
        check_rows(_kept(draft, selection), registry, mistakes)

    chosen = load_config(path, check=check).select(**selection)
    return chosen, Document(path.stem, path, replaced)


def _kept(draft: Config, selection: Selection) -> Config:
    """Return the rows of a config with mistakes that would be run without them."""
    defenses, attacks = selection.get("defenses"), selection.get("attacks")
    kept = {
        "defenses": tuple(d for d in draft.defenses if not defenses or d.name in defenses),
        "attacks": tuple(a for a in draft.attacks if not attacks or a.name in attacks),
    }
    return draft.model_copy(update=kept)
