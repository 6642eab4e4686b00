"""Train by a recipe for a task, as a command line and a settings file ask for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from superdef_bench.benchmark.task import check_classes, classify, make_task
from superdef_bench.core.arguments import RESERVED, check_settings, flags_of, parse_flags
from superdef_bench.core.errors import (
    ConfigError,
    ContractError,
    DataError,
    SuperdefError,
    did_you_mean,
)
from superdef_bench.core.plugins import Plugin, Registry
from superdef_bench.core.types import Dataset, Task
from superdef_bench.io.documents import read_toml
from superdef_bench.io.files import find_data
from superdef_bench.io.machine import choose_device, fix_numerics, out_of_memory
from superdef_bench.training.data import dataset_of

_MOST_BYTES = 2**18  # of a file of settings, which is a few lines
_SHAPE = (3, 32, 32)  # of the image that photographs are represented by


def task_to_train_for(data: str, model: str, registry: Registry) -> Task:
    """Return the task of a recipe: the training images that `data` names, and a classifier.

    Args:
        data: A dataset plugin, a folder with one folder per class below `train`, or any other
            folder or zip of images, whose classes are then those of the model, without a name.
        model: Name of a model plugin that can be built without arguments.
        registry: Plugins.

    Raises:
        ConfigError: The model is unknown, needs arguments, or does not fit the images.
        DataError: The images are missing or cannot be used.
    """
    plugin = registry.get("model", model)
    try:
        plugin.check_arguments({})
    except ConfigError as error:
        raise ConfigError(
            f"model {model!r} cannot be built by its name alone: {error.message}",
            hint="wrap it in a model plugin that needs no arguments; docs/plugins.md",
        ) from error
    labelled = _labelled(data, registry)
    network: nn.Module = plugin.build().eval().requires_grad_(False)
    name = labelled.name if labelled else Path(data).expanduser().resolve().stem
    images = labelled.load([0])[0] if labelled else torch.zeros(1, *_SHAPE)
    logits = classify(network, images, model, name)
    dataset: Dataset = labelled or _Photographs(name, logits.shape[1])
    check_classes(logits, model, dataset)
    resolved = {"plugin": plugin.name, **plugin.defaults}
    return make_task(dataset, network, model, plugin, resolved)


def _labelled(data: str, registry: Registry) -> Dataset | None:
    """Return the dataset that `data` names, or None where its images have no labels."""
    dataset: Dataset
    known = registry.plugins["dataset"]
    if plugin := dataset_of(data):
        name, arguments = plugin
        dataset = known[name].build(**arguments, split="train")
        return dataset
    place = find_data(data)
    if not place.exists():
        hint = did_you_mean(data, known, more="or a folder of images; docs/training.md")
        raise DataError(f"training data {data} does not exist", hint=hint)
    below = place / "train"
    if not below.is_dir() or not any(folder.is_dir() for folder in below.iterdir()):
        return None
    folder = registry.get("dataset", "imagefolder")
    dataset = folder.build(path=str(place), split="train", name=place.resolve().name)
    return dataset


class _Photographs:
    """Images without labels; one stands for all, and nothing is hashed."""

    split = "train"
    sha256 = ""

    def __init__(self, name: str, num_classes: int) -> None:
        self.name, self.num_classes = name, num_classes
        self.ids: Sequence[str] = [name]
        self.class_names: Sequence[str] = [str(label) for label in range(num_classes)]

    def load(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        count = len(indices)
        return torch.zeros(count, *_SHAPE), torch.zeros(count, dtype=torch.int64)


_DATA = "signs"  # of a recipe that names none itself
_OWN = [f"--{name}" for name in ("config", "data", "data-dir", "device", "help", "model", "out")]


_OWN += ["--plugins-dir", "--resume"]  # flags of the command itself


@dataclass(frozen=True)
class Choices:
    """What every recipe is given beside its settings; None where nothing was said.

    Attributes:
        data: What to train on: a dataset plugin, or a place on disk.
        model: Model plugin of the classifier to work for.
        device: Where to train.
    """

    data: str | None = None
    model: str | None = None
    device: str | None = None


def train_words(
    plugin: Plugin,
    words: Sequence[str],
    choices: Choices,
    *,
    config: Path | None,
    out: Path,
    resume: bool,
    registry: Registry,
) -> Sequence[Path]:
    """Train by a recipe and return the files written.

    Args:
        plugin: The recipe.
        words: Its settings as flags; they win over those of the file.
        choices: From the command line; they win too.
        config: File of settings.
        out: Folder for what is written.
        resume: Go on from the checkpoint there.
        registry: Plugins.

    Raises:
        ConfigError: A setting or choice is unknown, missing or of another type.
        DataError: A file cannot be read or written.
        SuperdefError: Whatever else the recipe says, or the user stopped it.
    """
    recipe: Any = plugin.build()
    flags = flags_of(recipe.train, reserved=RESERVED)
    taken = [flag.word for flag in flags if flag.word in _OWN]
    if taken:
        raise ContractError(
            f"{plugin.title} has a setting {taken[0]}, which is a flag of train itself",
            hint="give it another name",
        )
    settings = parse_flags(recipe.train, words, plugin.title, more=_OWN)
    if config is not None:
        written, more = read_settings(config, recipe)
        settings = {**more, **settings}
        choices = Choices(
            choices.data or written.data,
            choices.model or written.model,
            choices.device or written.device,
        )
    lacking = [flag.word for flag in flags if flag.required and flag.name not in settings]
    if lacking:
        raise ConfigError(f"{plugin.title} needs {lacking[0]}", hint="it has no default")
    device = str(choose_device(choices.device or "auto"))
    data: str = choices.data or str(getattr(recipe, "data", _DATA))
    task = task_to_train_for(data, choices.model, registry) if choices.model else None
    fix_numerics()
    try:
        out.mkdir(parents=True, exist_ok=True)
        files: Sequence[Path] = recipe.train(
            task, data=data, out=out, device=device, resume=resume, **settings
        )
    except KeyboardInterrupt as error:
        raise SuperdefError(
            f"{plugin.title} was stopped", hint="where it left a checkpoint, --resume goes on"
        ) from error
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise DataError(
            f"{plugin.title}: memory ran out", hint="take a smaller batch, patch or network"
        ) from error
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{plugin.title} stopped: {place}{reason}",
            hint="where it left a checkpoint, --resume goes on",
        ) from error
    return files


def read_settings(path: Path, recipe: Any) -> tuple[Choices, dict[str, Any]]:
    """Return what a TOML file of a recipe chooses and sets.

    Args:
        path: A flat table.
        recipe: Its `train` says which settings there are.

    Raises:
        ConfigError: The file cannot be read or is no TOML, or a name or a type in it is wrong.
    """
    try:
        given = read_toml(path, most=_MOST_BYTES)
    except OSError as error:
        raise ConfigError(f"settings {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(
            f"settings {path} are no TOML: {error}", hint="a line is name = value"
        ) from error
    for name, value in given.items():
        if isinstance(value, dict):
            raise ConfigError(
                f"{name!r} in {path} is a table", hint="settings stand in none: steps = 200"
            )
    chosen = {name: given.pop(name) for name in ("data", "model", "device") if name in given}
    for name, value in chosen.items():
        if not isinstance(value, str) or not value:
            raise ConfigError(f"{name!r} in {path} is {value!r}", hint="it takes text")
    check_settings(recipe.train, given, str(path))
    return Choices(**chosen), given
