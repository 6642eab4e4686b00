"""Examples as others exchange them: a file of torch.save, read as data and never run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from superdef_bench.core.errors import DataError
from superdef_bench.nn.pretrained import read_checkpoint

ADVERSARIAL = "adv_complete"  # what RobustBench and AutoAttack call the images in a file
_WHAT = "file of examples"
_NUMPY = (".npy", ".npz")
_DEEPEST = 8  # lists and dicts in one another
_MOST_FACTS = 10**7  # values in all: what is packed once may stand in many places
_TYPES = frozenset(
    {torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool}
    | {torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
)


@dataclass(frozen=True)
class TensorFile:
    """What a file of examples holds.

    Attributes:
        tensors: By name; the images `(N, C, H, W)` under `adv_complete`. On the CPU, dense,
            without a graph. Their types, shapes and ranges are as the file has them.
        facts: What else stands beside them: strings, numbers, truth values, None, and lists and
            dicts of these. Empty for a bare tensor.
    """

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]


def read_tensor_file(path: Path) -> TensorFile:
    """Read a tensor, or a dict with `adv_complete`, that `torch.save` wrote.

    The file is read as data (`weights_only`), of at most 16 GiB, and no tensor takes more memory
    than the file has bytes.

    Raises:
        DataError: It is missing, too large, damaged, holds code, or holds no `adv_complete`.
    """
    try:
        content = read_checkpoint(path, what=_WHAT)
    except DataError as error:
        if path.suffix in _NUMPY and path.is_file():
            raise DataError(
                f"{_WHAT} {path} is one of NumPy",
                hint=f"torch.save({{{ADVERSARIAL!r}: torch.from_numpy(images)}}, 'examples.pt')",
            ) from error
        raise
    if isinstance(content, Tensor):
        content = {ADVERSARIAL: content}
    if not isinstance(content, Mapping) or not isinstance(content.get(ADVERSARIAL), Tensor):
        raise DataError(
            f"{_WHAT} {path} holds no tensor under {ADVERSARIAL!r}",
            hint=f"torch.save a tensor (N, C, H, W), or a dict with it under {ADVERSARIAL!r}",
        )
    tensors: dict[str, Tensor] = {}
    facts: dict[str, Any] = {}
    left = _Budget(_MOST_FACTS)
    for name, value in content.items():
        if isinstance(name, str) and isinstance(value, Tensor) and _is_dense(value):
            tensors[name] = value.detach()
        elif isinstance(name, str) and _is_plain(value, left):
            facts[name] = value
        else:
            raise DataError(
                f"{_WHAT} {path} holds {type(value).__name__} under {str(name)[:40]!r}, "
                "which is no dense tensor of the CPU and no plain fact",
                hint="save tensors, strings and numbers alone",
            )
    return TensorFile(tensors, facts)


def _is_dense(tensor: Tensor) -> bool:
    """Return whether each value has its own place in memory: strides can blow up a small file."""
    if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.is_nested:
        return False
    if tensor.dtype not in _TYPES:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


@dataclass
class _Budget:
    """How many more values may be looked at."""

    left: int

    def spend(self) -> bool:
        self.left -= 1
        return self.left >= 0


def _is_plain(value: object, budget: _Budget, depth: int = 0) -> bool:
    if not budget.spend():
        return False
    if value is None or isinstance(value, str | int | float):
        return True
    if depth == _DEEPEST:
        return False
    if isinstance(value, Mapping):
        return all(isinstance(k, str) and _is_plain(v, budget, depth + 1) for k, v in value.items())
    return isinstance(value, list | tuple) and all(_is_plain(v, budget, depth + 1) for v in value)
