"""Weights as safetensors, each with a provenance JSON beside it that names its sha256."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import safetensors.torch
from torch import Tensor, nn

from superdef_bench.core.errors import DataError
from superdef_bench.core.types import Task
from superdef_bench.io.documents import parse_json
from superdef_bench.io.files import read_file, write_atomically

MOST_BYTES = 2**34  # of weights; networks of two billion parameters have half of it
_MOST_TOLD = 2**24  # of a provenance, which names every class
SHIPPED = Path(__file__).parent / "checkpoints"

Network = TypeVar("Network", bound=nn.Module)


def save_weights(path: Path, state: Mapping[str, Tensor], provenance: Mapping[str, Any]) -> None:
    """Write `path` (safetensors) and the JSON beside it; a reader never sees half a file."""
    content = safetensors.torch.save({k: v.detach().cpu().contiguous() for k, v in state.items()})
    record = {**provenance, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    write_atomically(path, content)
    text = json.dumps(record, indent=2, sort_keys=True) + "\n"
    write_atomically(path.with_suffix(".json"), text.encode())


def read_provenance(path: Path) -> dict[str, Any]:
    """Return the provenance of the weights at `path`.

    Raises:
        DataError: It is missing, no JSON, or names no hash.
    """
    beside = path.with_suffix(".json")
    try:
        record: dict[str, Any] = parse_json(read_file(beside, most=_MOST_TOLD))
    except OSError as error:
        raise DataError(
            f"weights {path} have no provenance: {beside.name}: {error.strerror}",
            hint="superdef-bench train writes both files",
        ) from error
    except ValueError as error:
        raise DataError(
            f"provenance {beside} is no JSON: {error}",
            hint="take the file that was written with the weights",
        ) from error
    sha256 = record.get("sha256") if isinstance(record, dict) else None
    if not isinstance(sha256, str) or not re.fullmatch("[0-9a-f]{64}", sha256):
        raise DataError(
            f"provenance {beside} names no sha256",
            hint="superdef-bench train writes weights and provenance",
        )
    return record


def load_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors at `path` after checking them against their provenance.

    Raises:
        DataError: The file is missing, truncated, or not the one that its provenance names.
    """
    try:
        content = read_file(path, most=MOST_BYTES)
    except OSError as error:
        raise DataError(f"weights {path} cannot be read: {error.strerror}") from error
    expected, found = read_provenance(path)["sha256"], hashlib.sha256(content).hexdigest()
    if found != expected:
        raise DataError(
            f"weights {path} have sha256 {found[:12]}, their provenance says {expected[:12]}",
            hint="the file is damaged or was replaced; install or train it again",
        )
    try:
        return safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        reason = " ".join(str(error).split())
        raise DataError(f"weights {path} are no safetensors: {reason}") from error


def from_file(network: Network, path: Path) -> Network:
    """Return the network, which says from now on that its weights came from a file.

    Results then name the file and its hash; a plugin may set the attribute `weights_file` itself.
    """
    object.__setattr__(network, "weights_file", path)
    return network


def weights_file(network: nn.Module) -> Path | None:
    """Return the one file that the weights of a network came from, where its plugin says so."""
    said = {getattr(part, "weights_file", None) for part in network.modules()}
    files = [path for path in said if isinstance(path, Path)]
    return files[0] if len(files) == 1 else None


def find_weights(
    task: Task, kind: str, path: Path | None = None, directories: Sequence[Path] = (SHIPPED,)
) -> dict[str, Tensor]:
    """Return the artefact `kind` that was trained for `task`.

    Looks at `path`, else through `directories` in order. Dataset name, class names and input
    shape must agree; the model's fingerprint too where the artefact names one.

    Raises:
        DataError: There is none, or the one at `path` was trained for another task.
    """
    candidates = (
        [path] if path else [f for d in directories for f in sorted(d.glob("*.safetensors"))]
    )
    for candidate in candidates:
        record = read_provenance(candidate)
        if record.get("kind") == kind and _fits(record.get("task"), task):
            return load_weights(candidate)
    where = f"{path} was not trained" if path else "none was trained"
    raise DataError(
        f"no {kind} for {task.dataset} with {task.model}: {where} for this task",
        hint=f"superdef-bench train {kind} --data {task.dataset} --model {task.model}",
    )


def _fits(trained: object, task: Task) -> bool:
    if not isinstance(trained, Mapping):
        return False
    used_model = trained.get("model_fingerprint")
    return (
        trained.get("dataset") == task.dataset
        and trained.get("class_names") == list(task.class_names)
        and trained.get("input_shape") == list(task.input_shape)
        and used_model in (None, task.model_fingerprint)
    )
