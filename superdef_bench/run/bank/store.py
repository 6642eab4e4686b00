"""A content-addressed store of adversarial examples, so that none is made twice."""

from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from superdef_bench.io.files import write_atomically


class Bank:
    """Named tensors under the fingerprint of what made them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.safetensors"

    def get(self, key: str) -> dict[str, Tensor] | None:
        """Return what is stored under `key`; None if nothing is, or the file is damaged."""
        try:
            return safetensors.torch.load(self._path(key).read_bytes())
        except (OSError, safetensors.SafetensorError):
            return None

    def put(self, key: str, tensors: dict[str, Tensor]) -> None:
        """Store tensors under `key`."""
        packed = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        # A file that a power cut damages reads as missing and is made again: no need to wait.
        write_atomically(self._path(key), safetensors.torch.save(packed), durable=False)
