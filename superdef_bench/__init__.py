"""A benchmark of input-transformation defenses: gray box and adaptive, on the same images."""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from superdef_bench.api import load_attack as load_attack
    from superdef_bench.api import load_dataset as load_dataset
    from superdef_bench.api import load_defense as load_defense
    from superdef_bench.api import load_model as load_model
    from superdef_bench.errors import ConfigError as ConfigError
    from superdef_bench.errors import ContractError as ContractError
    from superdef_bench.errors import DataError as DataError
    from superdef_bench.errors import PluginError as PluginError
    from superdef_bench.errors import SuperdefError as SuperdefError
    from superdef_bench.evaluation import evaluate as evaluate
    from superdef_bench.hookspecs import hookimpl as hookimpl
    from superdef_bench.pictures import read_picture as read_picture
    from superdef_bench.places import data_directory as data_directory
    from superdef_bench.progress import progress_bar as progress_bar
    from superdef_bench.rng import Random as Random
    from superdef_bench.transform import InputTransform as InputTransform
    from superdef_bench.transform import Protected as Protected
    from superdef_bench.transform import resize as resize
    from superdef_bench.types import AttackContext as AttackContext
    from superdef_bench.types import Norm as Norm
    from superdef_bench.types import Task as Task
    from superdef_bench.types import Threat as Threat

# Imported on first use, so that `import superdef_bench` and `--help` never wait for torch.
PUBLIC = {
    "evaluate": "evaluation",
    "load_attack": "api",
    "load_dataset": "api",
    "load_defense": "api",
    "load_model": "api",
    "ConfigError": "errors",
    "ContractError": "errors",
    "DataError": "errors",
    "PluginError": "errors",
    "SuperdefError": "errors",
    "hookimpl": "hookspecs",
    "read_picture": "pictures",
    "data_directory": "places",
    "progress_bar": "progress",
    "Random": "rng",
    "InputTransform": "transform",
    "Protected": "transform",
    "resize": "transform",
    "AttackContext": "types",
    "Norm": "types",
    "Task": "types",
    "Threat": "types",
}

__all__ = list(PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'superdef_bench' has no attribute {name!r}")
    return getattr(importlib.import_module(f"superdef_bench.{PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *PUBLIC]
