"""A classifier saved as TorchScript."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn

from superdef_bench import DataError, hookimpl
from superdef_bench.nn import check_file, check_sha256, from_file, guarded


class _Program(nn.Module):
    """Carries the hash of its file among its buffers: code and constants are no weights."""

    def __init__(self, script: nn.Module, digest: bytes) -> None:
        super().__init__()
        self.script = script
        self.register_buffer("file_sha256", torch.tensor(list(digest), dtype=torch.uint8))

    def forward(self, x: Tensor) -> Tensor:
        return self.script(x)


def torchscript(*, path: str, sha256: str = "") -> nn.Module:
    """A classifier saved by `torch.jit.save`: a program, which is run, so trust its source.

    It takes images in [0, 1] and normalises them itself. Save it in evaluation mode, on the CPU.

    Args:
        path: The file.
        sha256: Hash that the file must have; not checked if empty.

    Raises:
        DataError: The file is missing, damaged, no TorchScript, or has another hash.
    """
    check_sha256(sha256)
    file = Path(path).expanduser()
    check_file(file, sha256)
    try:
        with guarded():
            script = torch.jit.load(file, map_location="cpu")
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:80]
        raise DataError(
            f"checkpoint {file} is no TorchScript, or damaged: {reason}",
            hint='torch.jit.save writes one; for a state dict take plugin = "checkpoint"',
        ) from error
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").digest()
    return from_file(_Program(script, digest), file).eval()


@hookimpl
def register_models() -> dict[str, object]:
    return {"torchscript": torchscript}
