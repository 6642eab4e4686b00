"""`timm`: the classifiers of that library."""

from pathlib import Path
from typing import Any

from torch import nn

from superdef_bench import ConfigError, DataError, Download, data_directory, hookimpl
from superdef_bench.nn import (
    Normalized,
    check_address,
    check_file,
    check_name,
    from_file,
    guarded,
    say_unpinned,
    untrained,
)


def timm_model(*, name: str, weights: str = "", num_classes: int = 0) -> nn.Module:
    """Any classifier of timm, with its normalisation and without its resize.

    Weights are downloaded once from Hugging Face, into `models/timm` of the data folder. No hash of
    them is known beforehand: a line on stderr says which they have.

    Args:
        name: Such as `resnet18`.
        weights: Tag of the weights, such as `a1_in1k`; empty for timm's default; `none` for an
            untrained network with the random weights of seed 0, to try things out.
        num_classes: 0 for those of the weights; another number only where weights is `none`.

    Raises:
        ConfigError: There is no such model or weights, or they have other classes.
        DataError: The download fails, or the file is damaged.
    """
    with guarded():
        import timm  # type: ignore[import-untyped]  # ships no types
    facts = _facts(name, weights)
    if weights == "none":
        own = {"num_classes": num_classes} if num_classes else {}
        network = untrained(timm.create_model, name, pretrained=False, **own)
    else:
        network = _trained(facts)
        classes = network.num_classes
        if num_classes not in (0, classes):
            raise ConfigError(
                f"num_classes is {num_classes}, the weights of {name} have {classes}",
                hint='weights = "none" takes any; plugin = "checkpoint" loads your own',
            )
    normalised: Any = network.pretrained_cfg
    return Normalized(network, normalised["mean"], normalised["std"]).eval()


def _facts(name: str, weights: str = "", **_: object) -> Any:
    """Return what timm knows of weights, None for `none`; ConfigError if there are no such."""
    with guarded():
        import timm
    check_name("timm model", name, timm.list_models())
    if weights == "none":
        return None
    tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{name}.*")]
    check_name(f"weights of {name}", weights, [*tags, "none"] + [""] * bool(tags))
    return timm.get_pretrained_cfg(f"{name}.{weights}" if weights else name)


def _trained(facts: Any) -> nn.Module:
    import timm

    full = f"{facts.architecture}.{facts.tag}"
    hub = _hub()
    overlay: dict[str, object] = {}
    if facts.hf_hub_id and not facts.hf_hub_filename:
        # Not left to timm: it finds no way to a newer huggingface_hub.
        file = _file(facts)
        _download(full, facts.hf_hub_id, file)
        overlay = {"file": str(file), "custom_load": False}
    elif facts.url:
        check_address(f"the weights of timm's {full}", facts.url)
    try:
        with guarded(hub=hub):
            network: nn.Module = timm.create_model(
                full, pretrained=True, pretrained_cfg_overlay=overlay
            )
    except Exception as error:  # a download or a damaged file can raise anything
        reason = " ".join(str(error).split())[:120]
        raise DataError(
            f"the weights of timm's {full} cannot be loaded: {type(error).__name__}: {reason}",
            hint=f"they are in {overlay.get('file', hub)}; delete them, go online, try again",
        ) from error
    if not overlay:
        say_unpinned(f"what timm loads as {full}")
    return from_file(network, Path(str(overlay["file"]))) if overlay else network


def _hub() -> Path:
    return data_directory() / "models" / "timm"


def _file(facts: Any) -> Path:
    return _hub() / f"{facts.architecture}.{facts.tag}" / "model.safetensors"


def _downloads(name: str, weights: str = "", **_: object) -> list[Download]:
    """Return the file of weights, if it is not there yet."""
    facts = _facts(name, weights)
    if facts is None:
        return []
    title = f"weights of timm's {facts.architecture}.{facts.tag}"
    if facts.hf_hub_id and not facts.hf_hub_filename:
        from huggingface_hub import hf_hub_url

        file, address = _file(facts), hf_hub_url(facts.hf_hub_id, _file(facts).name)
    elif facts.url and not facts.hf_hub_id:
        file = _hub() / "checkpoints" / facts.url.rsplit("/", 1)[-1]
        address = facts.url
    else:  # of a name of its own, in the folder that Hugging Face keeps for all programs
        from huggingface_hub import constants

        return [Download(title, "", Path(constants.HF_HUB_CACHE))]
    return [] if file.exists() else [Download(title, address, file)]


# Names are looked up, and downloads told, before the images of a benchmark are downloaded.
timm_model.check_values = _facts  # type: ignore[attr-defined]  # read by the benchmark
timm_model.downloads = _downloads  # type: ignore[attr-defined]  # as above


def _download(full: str, repository: str, file: Path) -> None:
    """Get the file of weights if it is not there; see that it is one."""
    if not file.exists():
        from huggingface_hub import constants, hf_hub_download

        check_address(f"the weights of timm's {full}", constants.ENDPOINT)
        try:
            with guarded():
                hf_hub_download(repository, file.name, local_dir=file.parent)
        except Exception as error:  # the hub and its transport raise many kinds
            reason = " ".join(str(error).split())[:120]
            raise DataError(
                f"the weights of timm's {full} cannot be downloaded: "
                f"{type(error).__name__}: {reason}",
                hint=f"go online once, or save {file.name} of {repository} as {file}",
            ) from error
        check_file(file)
        say_unpinned(f"{file.name} of {repository}", file)
    check_file(file)


@hookimpl
def register_models() -> dict[str, object]:
    return {"timm": timm_model}
