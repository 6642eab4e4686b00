"""A content-addressed store of adversarial examples, so that none is made twice."""

import json
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from superdef_bench.core.clock import checking
from superdef_bench.core.fingerprint import tensors as digest
from superdef_bench.io.files import write_atomically
from superdef_bench.io.notes import note

_KEY, _SHA256 = "key", "sha256"


class Bank:
    """Named tensors under the fingerprint of what made them.

    A file says its key and the sha256 of its tensors, so that a damaged file, or one that was
    renamed, is told from a good one. What is refused is made again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._said = False

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.safetensors"

    def get(self, key: str) -> dict[str, Tensor] | None:
        """Return what is stored under `key`; None if nothing is, or the file is damaged."""
        try:
            content = self._path(key).read_bytes()
        except OSError:
            return None
        with checking():
            try:
                found: dict[str, Tensor] = safetensors.torch.load(content)
                told = _metadata(content)
                if told != {_KEY: key, _SHA256: digest(found)}:
                    raise ValueError("its content is not what was written")
            except (safetensors.SafetensorError, ValueError, KeyError, RuntimeError) as error:
                self.refuse(key, str(error))
                return None
        return found

    def put(self, key: str, tensors: dict[str, Tensor]) -> None:
        """Store tensors under `key`."""
        packed = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        with checking():
            told = {_KEY: key, _SHA256: digest(packed)}
        # A file that a power cut damages is noticed and made again: no need to wait.
        content = safetensors.torch.save(packed, metadata=told)
        write_atomically(self._path(key), content, durable=False)

    def refuse(self, key: str, why: str) -> None:
        """Say, once, that kept examples cannot be used."""
        if not self._said:
            note(f"examples {self._path(key)} are damaged and made again: {why}")
        self._said = True


def _metadata(content: bytes) -> object:
    """Return what the header of a safetensors file says beside its tensors."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]).get("__metadata__")
