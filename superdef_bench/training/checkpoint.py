"""Training state on disk: weights and optimiser as safetensors, numbers as their metadata."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor, nn
from torch.optim import Optimizer

from superdef_bench.errors import DataError
from superdef_bench.files import write_atomically

_NUMBERS = "numbers"


def save_checkpoint(
    path: Path, model: nn.Module, optimizer: Optimizer, numbers: Mapping[str, Any]
) -> None:
    """Write everything that a later run needs to go on bit for bit."""
    tensors = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{index}/{name}"] = value
    packed = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(dict(numbers), sort_keys=True)
    write_atomically(path, safetensors.torch.save(packed, metadata={_NUMBERS: text}))


def load_checkpoint(
    path: Path, model: nn.Module, optimizer: Optimizer, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Restore a checkpoint and return its numbers.

    Raises:
        DataError: The file is damaged, or was written with other settings.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            numbers: dict[str, Any] = json.loads(file.metadata()[_NUMBERS])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    except (OSError, safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"checkpoint {path} cannot be read: {error}", hint="delete it to start afresh"
        ) from error
    if numbers["settings"] != json.loads(json.dumps(dict(settings))):
        raise DataError(
            f"checkpoint {path} was written with other settings: {numbers['settings']}",
            hint="use those, another -o, or leave --resume out",
        )
    weights = {n.removeprefix("model/"): t for n, t in tensors.items() if n.startswith("model/")}
    model.load_state_dict(weights)
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer/"):
            _, index, key = name.split("/")
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return numbers
