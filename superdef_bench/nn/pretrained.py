"""What model plugins share: checkpoints of others read as data, filled in, and normalisation."""

import hashlib
import os
import re
import sys
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from superdef_bench.core.errors import ConfigError, DataError, did_you_mean
from superdef_bench.io.files import file_size
from superdef_bench.nn.weights import MOST_BYTES, from_file

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
_PREFIXES = ("module.", "model.", "_orig_mod.")
_SAFE, _UNSAFE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
_AGAIN = "delete the file and get it again"


class Normalized(nn.Module):
    """A network behind the normalisation it was trained with: takes images in [0, 1].

    Args:
        network: Takes normalised images `(N, C, H, W)`.
        mean: Per channel.
        std: Per channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))
        self.network = network
        self.differentiable = bool(getattr(network, "differentiable", True))

    def forward(self, x: Tensor) -> Tensor:
        """Map images `(N, C, H, W)` in [0, 1] to logits `(N, K)`."""
        return self.network((x - self.mean) / self.std)


def check_name(what: str, name: str, known: Iterable[str]) -> None:
    """Raise ConfigError with the nearest name unless `name` is known."""
    names = list(known)
    if name not in names:
        raise ConfigError(f"unknown {what} {name!r}", hint=did_you_mean(name, names))


def untrained(build: Any, *arguments: Any, **keywords: Any) -> nn.Module:
    """Return a network with the random weights of seed 0, whatever was drawn before."""
    with guarded(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network: nn.Module = build(*arguments, **keywords)
    return network


@contextmanager
def guarded(hub: Path | None = None) -> Iterator[None]:
    """Let a library build and load: files are read as data, its words go to stderr.

    Every `torch.load` inside refuses pickled code, even where the library asks for it. Standard
    output carries results, so what is printed goes to stderr; warnings are dropped.

    Args:
        hub: Folder for what `torch.hub` downloads, in `checkpoints` below it.
    """
    before = {name: os.environ.pop(name, None) for name in (_SAFE, _UNSAFE)}
    os.environ[_SAFE] = "1"
    folder = torch.hub.get_dir()
    torch.hub.set_dir(hub or folder)
    try:
        with warnings.catch_warnings(), redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.hub.set_dir(folder)
        del os.environ[_SAFE]
        os.environ.update({name: value for name, value in before.items() if value is not None})


def check_file(path: Path, sha256: str = "", *, what: str = "checkpoint") -> None:
    """Raise DataError unless `path` is a file, no web page, and has the hash.

    Args:
        path: Any file of weights.
        sha256: Its hash or the first digits of it; not checked if empty.
        what: The file, as messages call it.
    """
    if path.is_dir() or not path.exists():
        why = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"{what} {path} {why}", hint="a relative path starts at the current folder")
    try:
        file_size(path, most=MOST_BYTES)
    except OSError as error:
        raise DataError(f"{what} {path} cannot be read: {error.strerror}") from error
    with path.open("rb") as file:
        head = file.read(512)
        file.seek(0)
        found = hashlib.file_digest(file, "sha256").hexdigest() if sha256 else ""
    if not head:
        raise DataError(f"{what} {path} is empty", hint=_AGAIN)
    if re.match(rb"\s*<[!?a-zA-Z]", head):
        raise DataError(
            f"{what} {path} is a web page",
            hint=f"a refused download leaves one (a quota, a login): {_AGAIN}",
        )
    if not found.startswith(sha256.lower()):
        raise DataError(
            f"{what} {path} has sha256 {found[:12]}, not {sha256[:12]}",
            hint=f"it is damaged or another file: {_AGAIN}",
        )


def read_checkpoint(path: Path, sha256: str = "", *, what: str = "checkpoint") -> Any:
    """Return what a checkpoint holds, read as data: code in it is refused and never run.

    Args:
        path: safetensors if its name says so, else a file of `torch.save`.
        sha256: Hash that it must have, or the first digits of it.
        what: The file, as messages call it.

    Raises:
        DataError: It is missing, damaged, a web page, has another hash, or holds code.
    """
    check_file(path, sha256, what=what)
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        _check_packing(path)
        with guarded():
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can raise anything
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        if asked or (isinstance(error, UnpicklingError) and _is_pickle(path)):
            name = f" ({asked[1]})" if asked else ""
            raise DataError(
                f"{what} {path} holds pickled objects{name}, which can run code: refused",
                hint="where you trust it, save its tensors alone, of a network its state_dict()",
            ) from error
        if "TorchScript" in str(error):
            raise DataError(
                f"{what} {path} is TorchScript, a program",
                hint='plugin = "torchscript" runs it, if you trust it',
            ) from error
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        # Torch goes on about its own options, or names a byte.
        if reason.startswith("Weights only load failed") or len(reason) < 8:
            reason = "it is no file of torch.save"
        raise DataError(f"{what} {path} is damaged: {reason}", hint=_AGAIN) from error


def _check_packing(path: Path) -> None:
    """Raise ValueError for a zip that unpacks to more than it is: torch packs none of its files."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            everything = archive.infolist()
        files = [i for i in everything if "/code/" not in i.filename]  # of a program
        packed = [i.filename for i in files if i.compress_type or i.file_size > i.compress_size]
        if packed:
            raise ValueError(f"{packed[0]!r} in it is compressed, which torch never does")
        if sum(each.file_size for each in files) > path.stat().st_size:
            raise ValueError("its parts overlap, which those of torch never do")


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1) == b"\x80"


def read_tensors(path: Path, sha256: str = "") -> dict[str, Tensor]:
    """Return the state dict in a checkpoint, out of the usual wrappers.

    Raises:
        DataError: As `read_checkpoint`, or it holds no state dict.
    """
    content = read_checkpoint(path, sha256)
    for _ in _WRAPPERS:  # one may stand in another, but none in itself
        if not isinstance(content, Mapping):
            break
        inner = next((w for w in _WRAPPERS if isinstance(content.get(w), Mapping)), None)
        if inner is None:
            break
        content = content[inner]
    if not isinstance(content, Mapping) or not content:
        raise DataError(f"checkpoint {path} holds no state dict: {type(content).__name__}")
    for name, value in content.items():
        if not isinstance(value, Tensor):
            raise DataError(
                f"checkpoint {path} holds no state dict: {name!r} is {type(value).__name__}",
                hint=f"it may stand alone or under {', '.join(_WRAPPERS)}",
            )
    return dict(content)


def fill(network: nn.Module, tensors: Mapping[str, Tensor], path: Path, title: str) -> None:
    """Load `tensors` into `network`; all of it must be there, and nothing else.

    Prefixes that wrappers leave (`module.`, `model.`) are taken off where no name fits.

    Args:
        network: Changed in place.
        tensors: As `read_tensors` returns them.
        path: Where they come from, for messages, and for results to name.
        title: What the network is, for messages.

    Raises:
        DataError: The checkpoint is of another architecture.
    """
    wanted = network.state_dict()
    while not wanted.keys() & tensors.keys():
        prefix = next((p for p in _PREFIXES if any(k.startswith(p) for k in tensors)), None)
        if prefix is None:
            break
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    # Old checkpoints lack the counters of batch norm, which evaluation does not read.
    needed = [name for name in wanted if not name.endswith("num_batches_tracked")]
    missing = [repr(name) for name in needed if name not in tensors]
    unexpected = [repr(name) for name in tensors if name not in wanted]
    misshaped = [
        f"{name!r} {tuple(tensors[name].shape)} for {tuple(wanted[name].shape)}"
        for name in wanted
        if name in tensors and tensors[name].shape != wanted[name].shape
    ]
    found = {"missing": missing, "unexpected": unexpected, "of another shape": misshaped}
    problems = [f"{len(keys)} {what}, first {keys[0]}" for what, keys in found.items() if keys]
    if problems:
        raise DataError(
            f"checkpoint {path} is not of {title}: keys {'; '.join(problems)}",
            hint="take the architecture and the number of classes it was trained with",
        )
    network.load_state_dict(dict(tensors), strict=False)
    from_file(network, path)
