"""What examples to replay are made on: the bare classifier, another one, another defense."""

import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from superdef_bench.benchmark.built import BuiltDefense, Source
from superdef_bench.benchmark.task import check_classes, classify, make_task
from superdef_bench.core.errors import ConfigError
from superdef_bench.core.fingerprint import fingerprint
from superdef_bench.core.layout import Layouts
from superdef_bench.core.plugins import Plugin
from superdef_bench.core.threats import Rung
from superdef_bench.core.transform import Protected
from superdef_bench.core.types import Dataset, Task

_PROBE = 8


def bare_classifier(bare: Protected, task: Task, none: BuiltDefense) -> Source:
    """Return the undefended classifier, which the gray box attacks."""
    return Source(task.model, Rung.GRAY_BOX, bare, "exact", task.model_fingerprint, none.seconds)


def other_classifier(
    name: str,
    plugin: Plugin,
    resolved: Mapping[str, Any],
    model: nn.Module,
    dataset: Dataset,
    bare: Protected,
    device: torch.device,
    laid: Layouts,
) -> Source:
    """Return another classifier of the same images.

    Raises:
        ConfigError: It does not take them, has other classes, or gives no gradient.
    """
    model = model.eval().requires_grad_(False).to(device)
    if not getattr(model, "differentiable", True):
        raise ConfigError(
            f"surrogate 'model:{name}' gives no gradient", hint="take a classifier that does"
        )
    images = dataset.load(range(min(_PROBE, len(dataset.ids))))[0].to(device)
    layout = laid.of(f"model:{name}", model)
    protected = Protected((), model, seed=bare.seed, layout=layout).eval()
    check_classes(classify(protected, images, name, dataset.name), name, dataset)
    start = time.perf_counter()
    classify(protected, images, name, dataset.name)
    seconds = (time.perf_counter() - start) / len(images)
    task = make_task(dataset, model, name, plugin, resolved)
    return Source(name, Rung.TRANSFER, protected, "exact", task.model_fingerprint, seconds)


def check_other(source: Source, task: Task) -> None:
    """Raise ConfigError for the attacked classifier itself, by the name it is attacked under."""
    if (source.name, source.fingerprint) == (task.model, task.model_fingerprint):
        raise ConfigError(
            f"surrogate 'model:{source.name}' is the attacked classifier itself",
            hint="the rung gray_box attacks that; take another classifier",
        )


def other_defense(
    name: str, defense: BuiltDefense, rows: tuple[BuiltDefense, ...], task: Task
) -> Source:
    """Return another defense of the same classifier.

    Raises:
        ConfigError: There is no gradient through it, exact or around its stages.
    """
    if defense.gradient is None:
        raise ConfigError(
            f"surrogate 'defense:{name}' has no gradient and no stages to go around",
            hint="take an input transform",
        )
    return Source(
        name,
        Rung.SURROGATE,
        defense.protected,
        defense.gradient,
        fingerprint(task.model_fingerprint, defense.fingerprint, defense.gradient),
        defense.seconds,
        next((row for row in rows if row is defense), None),
    )
