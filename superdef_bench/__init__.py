"""A benchmark of input-transformation defenses: gray box and adaptive, on the same images."""

import importlib
from typing import TYPE_CHECKING, Any

from superdef_bench.core.renamed import find_renamed

__version__ = "0.1.0"

if TYPE_CHECKING:
    from superdef_bench.core.errors import ConfigError as ConfigError
    from superdef_bench.core.errors import ContractError as ContractError
    from superdef_bench.core.errors import DataError as DataError
    from superdef_bench.core.errors import PluginError as PluginError
    from superdef_bench.core.errors import SuperdefError as SuperdefError
    from superdef_bench.core.errors import UnavailableError as UnavailableError
    from superdef_bench.core.hookspecs import hookimpl as hookimpl
    from superdef_bench.core.loader import load_attack as load_attack
    from superdef_bench.core.loader import load_dataset as load_dataset
    from superdef_bench.core.loader import load_defense as load_defense
    from superdef_bench.core.loader import load_model as load_model
    from superdef_bench.core.loader import use_plugins as use_plugins
    from superdef_bench.core.rng import Random as Random
    from superdef_bench.core.threats import Norm as Norm
    from superdef_bench.core.threats import Threat as Threat
    from superdef_bench.core.transform import InputTransform as InputTransform
    from superdef_bench.core.transform import Protected as Protected
    from superdef_bench.core.transform import resize as resize
    from superdef_bench.core.types import AttackContext as AttackContext
    from superdef_bench.core.types import Task as Task
    from superdef_bench.evaluation import evaluate as evaluate
    from superdef_bench.evaluation import evaluate_model as evaluate_model
    from superdef_bench.io.datasets import balanced_order as balanced_order
    from superdef_bench.io.datasets import hash_files as hash_files
    from superdef_bench.io.datasets import to_images as to_images
    from superdef_bench.io.downloads import Download as Download
    from superdef_bench.io.files import data_directory as data_directory
    from superdef_bench.io.files import read_file as read_file
    from superdef_bench.io.label_table import LabelColumns as LabelColumns
    from superdef_bench.io.label_table import LabelTable as LabelTable
    from superdef_bench.io.pictures import read_picture as read_picture
    from superdef_bench.io.progress import progress_bar as progress_bar
    from superdef_bench.run.bank.example_file import read_examples as read_examples
    from superdef_bench.subset.files import read_prepared as read_prepared

# Imported on first use, so that `import superdef_bench` and `--help` never wait for torch.
PUBLIC = {
    "ConfigError": "core.errors",
    "ContractError": "core.errors",
    "DataError": "core.errors",
    "PluginError": "core.errors",
    "SuperdefError": "core.errors",
    "UnavailableError": "core.errors",
    "hookimpl": "core.hookspecs",
    "load_attack": "core.loader",
    "load_dataset": "core.loader",
    "load_defense": "core.loader",
    "load_model": "core.loader",
    "use_plugins": "core.loader",
    "Random": "core.rng",
    "Norm": "core.threats",
    "Threat": "core.threats",
    "InputTransform": "core.transform",
    "Protected": "core.transform",
    "resize": "core.transform",
    "AttackContext": "core.types",
    "Task": "core.types",
    "evaluate": "evaluation",
    "evaluate_model": "evaluation",
    "balanced_order": "io.datasets",
    "hash_files": "io.datasets",
    "to_images": "io.datasets",
    "Download": "io.downloads",
    "data_directory": "io.files",
    "read_file": "io.files",
    "LabelColumns": "io.label_table",
    "LabelTable": "io.label_table",
    "read_picture": "io.pictures",
    "progress_bar": "io.progress",
    "read_examples": "run.bank.example_file",
    "read_prepared": "subset.files",
}

__all__ = list(PUBLIC)

find_renamed()


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'superdef_bench' has no attribute {name!r}")
    return getattr(importlib.import_module(f"superdef_bench.{PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *PUBLIC]
