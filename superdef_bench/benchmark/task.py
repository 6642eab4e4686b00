"""The task of a defense: a dataset and the classifier of its images."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from superdef_bench.core.calls import reason
from superdef_bench.core.errors import ConfigError
from superdef_bench.core.fingerprint import fingerprint, sources, tensors
from superdef_bench.core.plugins import Plugin
from superdef_bench.core.types import Dataset, Task
from superdef_bench.nn.weights import find_weights


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
    # A plugin may say which of its arguments change no answer: its class attribute `operational`.
    operational: frozenset[str] = getattr(plugin.factory, "operational", frozenset())
    return Task(
        dataset=dataset.name,
        sha256=dataset.sha256,
        num_classes=dataset.num_classes,
        class_names=tuple(dataset.class_names),
        input_shape=(channels, height, width),
        model=name,
        model_fingerprint=fingerprint(
            "model",
            {key: value for key, value in resolved.items() if key not in operational},
            plugin.key_parts,
            *(sources(file) for file in plugin.named_files(resolved)),
            tensors(model.state_dict()),
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
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may raise anything, SystemExit too
        raise ConfigError(
            f"model {name!r} cannot take the images {tuple(images.shape[1:])} of dataset "
            f"{dataset!r}: {reason(error, kind=False)}",
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
