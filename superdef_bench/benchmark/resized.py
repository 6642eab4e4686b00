"""The images of a benchmark at another size, for the undefended classifier alone."""

from typing import cast

import torch
from torch import nn

from superdef_bench.benchmark.config import Config
from superdef_bench.benchmark.mistakes import Mistakes
from superdef_bench.benchmark.task import check_classes, classify
from superdef_bench.core.errors import ConfigError, SuperdefError
from superdef_bench.core.plugins import Plugin
from superdef_bench.core.types import Dataset


def resized_images(
    config: Config,
    plugin: Plugin,
    dataset: Dataset,
    model: nn.Module,
    device: torch.device,
    mistakes: Mistakes,
) -> Dataset | None:
    """Return the images at the size of `undefended_at`; None where the config asks for none.

    Args:
        config: What is built.
        plugin: That of the dataset.
        dataset: The images at their own size.
        model: The undefended classifier; it is shown two of the others.
        device: Where to compute.
        mistakes: Gets what does not fit.

    Raises:
        ConfigError: The dataset gives no such size, or not the same pictures, or the classifier
            does not take them.
    """
    size, resized = config.undefended_at, None
    if size is None:
        return None
    given = f"undefended_at is {size}"
    arguments = {**plugin.defaults, **config.dataset.arguments}
    with mistakes.at("run", "undefended_at"):
        if "size" not in plugin.defaults:
            raise ConfigError(f"{given}, and {plugin.title} takes no size", hint="leave it out")
        if arguments.get("crop"):
            raise ConfigError(
                f"{given}, and crop is {arguments['crop']}: at another size that is another view",
                hint="leave out one of the two",
            )
        try:
            resized = plugin.build(**{**config.dataset.arguments, "size": size})
            if list(resized.ids) != list(dataset.ids):
                raise ConfigError("there are other images at that size", hint="leave it out")
            images = resized.load([0, 1])[0]
            if images.shape == dataset.load([0, 1])[0].shape:
                raise ConfigError(
                    "the images have that size already",
                    hint="take the size that the classifier was trained at",
                )
            logits = classify(model, images.to(device), config.model.name, resized.name)
            check_classes(logits, config.model.name, resized)
        except SuperdefError as error:
            raise ConfigError(f"{given}: {error.message}", hint=error.hint) from error
    mistakes.settle()
    return cast(Dataset, resized)
