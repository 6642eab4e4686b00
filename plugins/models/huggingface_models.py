"""`huggingface`: image classifiers in the layout of that hub, from a folder or from there."""

import hashlib
import json
import re
from pathlib import Path

import torch
from torch import Tensor, nn

from superdef_bench import ConfigError, DataError, Download, data_directory, hookimpl, read_file
from superdef_bench.nn import check_address, from_file, guarded, normalized, read_preprocessing

_FILES = ("config.json", "preprocessor_config.json", "*.safetensors", "*.index.json")
_MOST_INDEX = 2**26  # bytes of a list of tensors; the largest models have some millions
_INSTALL = "pip install 'superdef-bench[huggingface]'"


class _Logits(nn.Module):
    """Returns the logits alone, where the library returns a record."""

    def __init__(self, network: nn.Module, config: Path) -> None:
        super().__init__()
        self.network = network
        # It says what the weights do not, such as activations: it goes into the keys with them.
        digest = hashlib.sha256(config.read_bytes()).digest()
        self.register_buffer("config", torch.tensor(list(digest), dtype=torch.uint8))

    def forward(self, x: Tensor) -> Tensor:
        return self.network(pixel_values=x).logits


def huggingface(*, name: str, revision: str = "") -> nn.Module:
    """An image classifier of the transformers library, with its normalisation, without its resize.

    Weights are safetensors alone; code that comes with a model is not run. From the hub it is
    downloaded once, into `models/huggingface` of the data folder.

    Args:
        name: A folder with `config.json`, `preprocessor_config.json` and safetensors, or a name
            on the hub, such as `microsoft/resnet-18`.
        revision: Of a name on the hub: the commit, 40 hexadecimal digits, since a branch can move.

    Raises:
        ConfigError: An argument is wrong, or transformers is not installed.
        DataError: The download fails, or the folder lacks a file, or has one that is damaged.
    """
    _check(name=name, revision=revision)
    try:
        with guarded():
            from transformers import AutoModelForImageClassification
    except ImportError as error:
        raise ConfigError("huggingface needs transformers", hint=_INSTALL) from error
    folder = _downloaded(name, revision) if revision else Path(name).expanduser()
    mean, std = read_preprocessing(folder)
    if not any(folder.glob("*.safetensors")):
        raise DataError(
            f"{folder} has no safetensors",
            hint="other weights can run code and are not read: save them by save_pretrained",
        )
    try:
        with guarded():
            network, told = AutoModelForImageClassification.from_pretrained(
                str(folder.resolve()),
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
            )
    except Exception as error:  # a damaged folder can raise anything
        reason = " ".join(str(error).split())[:160]
        raise DataError(
            f"{folder} cannot be loaded: {type(error).__name__}: {reason}",
            hint="it must be an image classifier that transformers knows by itself",
        ) from error
    missing = sorted(map(str, told["missing_keys"]))
    if missing or told["mismatched_keys"]:
        found = f"{len(missing)} are missing, such as {missing[0]}" if missing else "shapes differ"
        raise DataError(
            f"the weights of {folder} are not of its classifier: {found}",
            hint="take a model that was trained to classify images",
        )
    weights = list(folder.glob("*.safetensors"))
    if len(weights) == 1:
        from_file(network, weights[0])
    return normalized(_Logits(network, folder / "config.json"), mean, std)


def _check(*, name: str, revision: str = "") -> None:
    """Raise ValueError unless it is a folder, or a name on the hub with a commit."""
    here = Path(name).expanduser().is_dir()
    if here and revision:
        raise ValueError(f"{name} is a folder, which has no revision")
    if not here and not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise ValueError(
            f"{name} is no folder here, and revision is {revision!r}: a name on the hub takes the "
            "40 digits of a commit"
        )


def _downloads(*, name: str, revision: str = "") -> list[Download]:
    """Return what is fetched: the files of a commit, where they are not all there."""
    if not revision or _is_whole(_place(name, revision)):
        return []
    address = f"https://huggingface.co/{name}/tree/{revision}"
    return [Download(name, address, _place(name, revision))]


huggingface.check_values = _check  # type: ignore[attr-defined]  # read by the benchmark
huggingface.downloads = _downloads  # type: ignore[attr-defined]  # as above


def _place(name: str, revision: str) -> Path:
    return data_directory() / "models" / "huggingface" / name.replace("/", "--") / revision


def _is_whole(folder: Path) -> bool:
    """Return whether a download came to its end: its files, and all that an index names."""
    if not all((folder / file).exists() for file in _FILES[:2]):
        return False
    shards: set[str] = set()
    for index in folder.glob("*.safetensors.index.json"):
        try:
            shards |= set(json.loads(read_file(index, most=_MOST_INDEX))["weight_map"].values())
        except (KeyError, TypeError, ValueError):
            return False  # cut short; it is got again
    return all((folder / s).exists() for s in shards) and any(folder.glob("*.safetensors"))


def _downloaded(name: str, revision: str) -> Path:
    """Return the folder of one commit, downloaded if it is not whole there."""
    folder = _place(name, revision)
    if _is_whole(folder):
        return folder
    from huggingface_hub import constants, hf_hub_download, snapshot_download

    check_address(f"{name} of the Hugging Face hub", constants.ENDPOINT)
    try:
        with guarded():
            # One file first: without a network a listing is tried for half a minute.
            hf_hub_download(name, "config.json", revision=revision, local_dir=folder)
            snapshot_download(
                name, revision=revision, local_dir=folder, allow_patterns=list(_FILES)
            )
    except Exception as error:  # the hub and its transport raise many kinds
        reason = " ".join(str(error).split())[:120]
        raise DataError(
            f"{name} cannot be downloaded: {type(error).__name__}: {reason}",
            hint=f"go online once, or save its files in {folder}",
        ) from error
    return folder


@hookimpl
def register_models() -> dict[str, object]:
    return {"huggingface": huggingface}
