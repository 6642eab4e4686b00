"""A checkpoint of your own, in a named architecture."""

import inspect
from pathlib import Path
from typing import Any

from torch import nn

from superdef_bench import ConfigError, hookimpl
from superdef_bench.nn import (
    ResNet,
    as_network,
    check_name,
    check_sha256,
    fill,
    guarded,
    normalized,
    own_class,
    read_statistics,
    read_tensors,
    untrained,
)

_BLOCKS = {f"resnet{6 * blocks + 2}": blocks for blocks in (*range(1, 8), 9, 18)}


def checkpoint(
    *,
    path: str,
    architecture: str,
    num_classes: int,
    mean: list[float] | float | str = "",
    std: list[float] | float | str = "",
    width: int = 16,
    channels: int = 3,
    sha256: str = "",
) -> nn.Module:
    """Weights of your own: safetensors or a `torch.save` of a state dict, read as data only.

    A state dict may stand alone or under `state_dict`, `model_state_dict`, `model` or `net`; the
    prefixes `module.` and `model.` come off. Code in the file is refused.

    Args:
        path: The file.
        architecture: `resnet8`, `resnet20`, ... of `superdef_bench.nn` (these normalise by
            themselves), `torchvision:resnet18` or `timm:resnet18`.
        num_classes: Number of logits.
        mean: What is subtracted from images in [0, 1], per channel: a list, or text such as
            `0.485 0.456 0.406`; one number for all; nothing if empty.
        std: What they are divided by then; given with `mean`.
        width: Channels of the first stage, of the first kind of architecture.
        channels: Channels of the image, of the first kind and of timm.
        sha256: Hash that the file must have; not checked if empty.

    Raises:
        ConfigError: An argument is unknown or wrong.
        DataError: The file is missing, damaged, code, or of another architecture.
    """
    check_sha256(sha256)
    for name, value, least in (("num_classes", num_classes, 2), ("width", width, 1)):
        if value < least:
            raise ValueError(f"{name} is {value}, take {least} or more")
    if channels not in (1, 3):
        raise ValueError(f"channels is {channels}, take 1 or 3")
    statistics = read_statistics(mean, std)
    file = Path(path).expanduser()
    tensors = read_tensors(file, sha256)
    network = _network(architecture, num_classes, width, channels)
    fill(network, tensors, file, f"{architecture} with {num_classes} classes")
    if isinstance(network, ResNet):
        network.fold()
    return normalized(network, *statistics)


def _network(architecture: str, num_classes: int, width: int, channels: int) -> nn.Module:
    library, colon, name = architecture.partition(":")
    if not colon:
        if architecture not in _BLOCKS:
            raise ConfigError(
                f"unknown architecture {architecture!r}",
                hint=f"{', '.join(_BLOCKS)}, torchvision:NAME, timm:NAME or python:...:NAME",
            )
        blocks = _BLOCKS[architecture]
        return ResNet(blocks=blocks, num_classes=num_classes, width=width, channels=channels)
    check_name("architecture library", library, ("torchvision", "timm", "python"))
    if library == "python":
        target, _ = own_class(name)
        taken = "num_classes" in inspect.signature(target).parameters
        built = untrained(target, **({"num_classes": num_classes} if taken else {}))
        return as_network(built, name)
    with guarded():
        if library == "torchvision":
            from torchvision import models

            check_name("torchvision classifier", name, models.list_models(module=models))
            network: nn.Module = models.get_model(name, weights=None, num_classes=num_classes)
            return network
        import timm  # type: ignore[import-untyped]  # ships no types

        check_name("timm model", name, timm.list_models())
        return timm.create_model(name, pretrained=False, num_classes=num_classes, in_chans=channels)


def _files(*, architecture: str = "", **others: Any) -> list[Path]:
    library, _, name = architecture.partition(":")
    return [own_class(name)[1]] if library == "python" else []


vars(checkpoint)["named_files"] = _files


@hookimpl
def register_models() -> dict[str, object]:
    return {"checkpoint": checkpoint}
