"""`torchvision`: the classifiers of that library."""

import re
from pathlib import Path
from typing import Any

from torch import nn

from superdef_bench import ConfigError, DataError, Download, data_directory, hookimpl
from superdef_bench.nn import (
    Normalized,
    check_address,
    check_file,
    check_name,
    from_file,
    guarded,
    say_unpinned,
    untrained,
)


def torchvision_model(*, name: str, weights: str = "DEFAULT", num_classes: int = 1000) -> nn.Module:
    """Any ImageNet classifier of torchvision, with its normalisation and without its resize.

    Weights are downloaded once, into `models/torchvision/checkpoints` of the data folder, and
    checked against the hash in the name of their file each time.

    Args:
        name: Such as `resnet50`.
        weights: Such as `IMAGENET1K_V1`; `DEFAULT` for torchvision's best; `none` for an untrained
            network with the random weights of seed 0, to try things out.
        num_classes: Another number only where weights is `none`.

    Raises:
        ConfigError: There is no such model or weights, or they have other classes.
        DataError: The download fails, or the file has another hash.
    """
    from torchvision import models

    entry = _entry(name, weights, num_classes)
    if weights == "none":
        network = untrained(models.get_model, name, weights=None, num_classes=num_classes)
    else:
        network = _trained(name, entry)
    preset = entry.transforms()
    return Normalized(network, preset.mean, preset.std).eval()


def _entry(name: str, weights: str = "DEFAULT", num_classes: int = 1000) -> Any:
    """Return what torchvision knows of weights; ConfigError if they are none, or do not fit."""
    from torchvision import models

    check_name("torchvision classifier", name, models.list_models(module=models))
    offered = models.get_model_weights(name)
    if weights == "none":
        return offered["DEFAULT"]
    check_name(f"weights of {name}", weights, [*offered.__members__, "none"])
    entry = offered[weights]
    classes = len(entry.meta["categories"])
    if num_classes != classes:
        raise ConfigError(
            f"num_classes is {num_classes}, the weights of {name} have {classes}",
            hint='weights = "none" takes any; plugin = "checkpoint" loads your own',
        )
    return entry


def _trained(name: str, entry: Any) -> nn.Module:
    from torchvision import models

    address = str(entry.url)
    check_address(f"the weights of {name}", address)
    file = _file(address)
    digits = re.search(r"-([0-9a-f]{8,})\.", file.name)
    if file.exists():
        check_file(file, digits[1] if digits else "")
    try:
        with guarded(hub=file.parent.parent):
            network: nn.Module = models.get_model(name, weights=entry)
    except OSError as error:
        raise DataError(
            f"the weights of {name} cannot be downloaded: {error}",
            hint=f"go online once, or put {file.name} into {file.parent}",
        ) from error
    except RuntimeError as error:
        raise DataError(
            f"the weights of {name} are not what torchvision names: {error}",
            hint="the download was cut off or replaced on its way; try again",
        ) from error
    if not digits:  # all of today's names have some
        say_unpinned(file.name, file)
    return from_file(network, file)


def _file(address: str) -> Path:
    return data_directory() / "models/torchvision/checkpoints" / address.rsplit("/", 1)[-1]


def _downloads(name: str, weights: str = "DEFAULT", num_classes: int = 1000) -> list[Download]:
    """Return the file of weights, if it is not there yet."""
    address = str(_entry(name, weights, num_classes).url)
    if weights == "none" or _file(address).exists():
        return []
    return [Download(f"weights of {name}", address, _file(address))]


# Names are looked up, and downloads told, before the images of a benchmark are downloaded.
torchvision_model.check_values = _entry  # type: ignore[attr-defined]  # read by the benchmark
torchvision_model.downloads = _downloads  # type: ignore[attr-defined]  # as above


@hookimpl
def register_models() -> dict[str, object]:
    return {"torchvision": torchvision_model}
