"""Training state on disk: weights and optimiser as safetensors, numbers as their metadata."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from superdef_bench.core.errors import DataError
from superdef_bench.io.files import file_size, write_atomically
from superdef_bench.nn.weights import MOST_BYTES

# RecursionError: JSON of a thousand lists inside each other.
_UNREADABLE = (
    *(OSError, safetensors.SafetensorError),
    *(KeyError, TypeError, ValueError, RecursionError),
)
_NUMBERS, _COUNT = "numbers", "tensors"


def save_checkpoint(
    path: Path, modules: Mapping[str, nn.Module], optimizer: Optimizer, numbers: Mapping[str, Any]
) -> None:
    """Write everything that a later run needs to go on bit for bit.

    Args:
        path: File to write.
        modules: Networks by a name of their own, such as `model`.
        optimizer: Its state is kept.
        numbers: What JSON takes; `settings` among it is compared on loading.
    """
    tensors = {
        f"{kind}/{name}": tensor
        for kind, module in modules.items()
        for name, tensor in module.state_dict().items()
    }
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{index}/{name}"] = value
    packed = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps({**numbers, _COUNT: len(packed)}, sort_keys=True)
    write_atomically(path, safetensors.torch.save(packed, metadata={_NUMBERS: text}))


def load_checkpoint(
    path: Path, modules: Mapping[str, nn.Module], optimizer: Optimizer, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Restore a checkpoint and return its numbers.

    Raises:
        DataError: The file is damaged, or was written with other settings.
    """
    try:
        file_size(path, most=2 * MOST_BYTES)  # an optimiser remembers as much again
        with safetensors.safe_open(path, framework="pt") as file:
            numbers: dict[str, Any] = json.loads(file.metadata()[_NUMBERS])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
        before = numbers["settings"]
        if numbers[_COUNT] != len(tensors):
            raise ValueError(f"{numbers[_COUNT]} tensors are expected, {len(tensors)} are there")
        if not isinstance(before, dict):
            raise ValueError("its settings are none")
    except _UNREADABLE as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"checkpoint {path} cannot be read: {reason}", hint="delete it to start afresh"
        ) from error
    now = json.loads(json.dumps(dict(settings)))
    if before != now:
        names = sorted({k for k in before.keys() | now.keys() if before.get(k) != now.get(k)})
        shown = ", ".join(f"{k} {before.get(k)}, now {now.get(k)}" for k in names)
        raise DataError(
            f"checkpoint {path} was written with other settings: {shown}",
            hint="use those, or another -o, or delete the checkpoint",
        )
    try:
        _restore(tensors, modules, optimizer)
    # What torch raises where names, shapes or types are not those of these networks.
    except (RuntimeError, ValueError, KeyError, IndexError, TypeError) as error:
        reason = " ".join(str(error).split())[:80]
        raise DataError(
            f"checkpoint {path} is of other networks: {reason}", hint="delete it to start afresh"
        ) from error
    return numbers


def _restore(
    tensors: Mapping[str, Tensor], modules: Mapping[str, nn.Module], optimizer: Optimizer
) -> None:
    for kind, module in modules.items():
        module.load_state_dict(_part(tensors, kind))
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _part(tensors, "optimizer").items():
        index, key = name.split("/")
        kept = parameters[int(index)]
        if tensor.shape == kept.shape:  # the layout too: kernels round by it
            tensor = torch.empty_like(kept).copy_(tensor)
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _part(tensors: Mapping[str, Tensor], kind: str) -> dict[str, Tensor]:
    start = f"{kind}/"
    return {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
