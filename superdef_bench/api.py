"""The benchmark from Python."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from superdef_bench.plugins import Registry, load_plugins

if TYPE_CHECKING:
    from torch import nn

    from superdef_bench.types import Attack, Dataset, Defense


_loaded: Registry | None = None


def use_plugins(directories: Sequence[Path] = ()) -> Registry:
    """Load the plugins, those in `directories` too, for all later calls; return them."""
    global _loaded
    _loaded = load_plugins(directories)
    return _loaded


def plugins() -> Registry:
    """Return the plugins, loaded on first use."""
    return _loaded or use_plugins()


def load_attack(name: str, /, **arguments: Any) -> "Attack":
    """Build an attack by name."""
    return cast("Attack", plugins().get("attack", name).build(**arguments))


def load_defense(name: str, /, **arguments: Any) -> "Defense":
    """Build a defense by name."""
    return cast("Defense", plugins().get("defense", name).build(**arguments))


def load_model(name: str, /, **arguments: Any) -> "nn.Module":
    """Build a classifier by name, in evaluation mode."""
    return cast("nn.Module", plugins().get("model", name).build(**arguments)).eval()


def load_dataset(name: str, /, **arguments: Any) -> "Dataset":
    """Build a dataset by name."""
    return cast("Dataset", plugins().get("dataset", name).build(**arguments))
