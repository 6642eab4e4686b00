"""What a defense or a recipe works for: a dataset and the classifier of its images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from superdef_bench.errors import ConfigError, DataError
from superdef_bench.fingerprint import fingerprint, sources, tensors
from superdef_bench.places import find_data
from superdef_bench.plugins import Plugin, Registry
from superdef_bench.suggest import did_you_mean
from superdef_bench.types import Dataset, Task
from superdef_bench.weights import find_weights

_SHAPE = (3, 32, 32)  # of the image that photographs are represented by


def make_task(
    dataset: Dataset, model: nn.Module, name: str, plugin: Plugin, resolved: Mapping[str, Any]
) -> Task:
    """Return the task of defending a classifier on a dataset.

    Args:
        dataset: Its first image gives the shape.
        model: The classifier.
        name: Its name in tables.
        plugin: What built it.
        resolved: All arguments that it was built with, under `plugin` the plugin's name.
    """
    channels, height, width = dataset.load([0])[0].shape[1:]
    return Task(
        dataset=dataset.name,
        sha256=dataset.sha256,
        num_classes=dataset.num_classes,
        class_names=tuple(dataset.class_names),
        input_shape=(channels, height, width),
        model=name,
        model_fingerprint=fingerprint(
            "model", resolved, sources(plugin.file), tensors(model.state_dict())
        ),
        loader=find_weights,
    )


def classify(model: nn.Module, images: Tensor, name: str, dataset: str) -> Tensor:
    """Return the logits `(N, K)` of images of a dataset.

    Raises:
        ConfigError: The model cannot take them, or returns something else.
    """
    try:
        with torch.no_grad():
            logits: Tensor = model(images)
        shape = tuple(logits.shape)
    except Exception as error:
        raise ConfigError(
            f"model {name!r} cannot take the images {tuple(images.shape[1:])} of dataset "
            f"{dataset!r}: {(str(error).splitlines() or [type(error).__name__])[0]}",
            hint="resizing and cropping belong to the dataset",
        ) from error
    if len(shape) != 2 or shape[0] != len(images):
        raise ConfigError(
            f"model {name!r} returns {shape} for {len(images)} images of dataset {dataset!r}",
            hint="a classifier returns logits (N, K)",
        )
    return logits


def check_classes(logits: Tensor, model: str, dataset: Dataset) -> None:
    """Raise ConfigError unless a classifier has as many classes as the dataset."""
    if logits.shape[1] != dataset.num_classes:
        raise ConfigError(
            f"model {model!r} has {logits.shape[1]} classes, dataset {dataset.name!r} has "
            f"{dataset.num_classes}",
            hint="take a model that was trained for this dataset",
        )


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
    if data in known:
        dataset = known[data].build(split="train")
        return dataset
    place = find_data(data)
    if not place.exists():
        hint = did_you_mean(data, known, more="or a folder of images; docs/training.md")
        raise DataError(f"training data {data} does not exist", hint=hint)
    below = place / "train"
    if not below.is_dir() or not any(folder.is_dir() for folder in below.iterdir()):
        return None
    plugin = registry.get("dataset", "imagefolder")
    dataset = plugin.build(path=str(place), split="train", name=place.resolve().name)
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
