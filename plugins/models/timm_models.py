"""`timm`: the classifiers of that library."""

from pathlib import Path
from typing import Any

from torch import nn

from superdef_bench import ConfigError, DataError, data_directory, hookimpl
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
    check_name("timm model", name, timm.list_models())
    if weights == "none":
        own = {"num_classes": num_classes} if num_classes else {}
        network = untrained(timm.create_model, name, pretrained=False, **own)
    else:
        tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{name}.*")]
        check_name(f"weights of {name}", weights, [*tags, "none"] + [""] * bool(tags))
        network = _trained(timm.get_pretrained_cfg(f"{name}.{weights}" if weights else name))
        classes = network.num_classes
        if num_classes not in (0, classes):
            raise ConfigError(
                f"num_classes is {num_classes}, the weights of {name} have {classes}",
                hint='weights = "none" takes any; plugin = "checkpoint" loads your own',
            )
    facts: Any = network.pretrained_cfg
    return Normalized(network, facts["mean"], facts["std"]).eval()


def _trained(facts: Any) -> nn.Module:
    import timm

    full = f"{facts.architecture}.{facts.tag}"
    hub = data_directory() / "models" / "timm"
    overlay: dict[str, object] = {}
    if facts.hf_hub_id and not facts.hf_hub_filename:
        # Not left to timm: it finds no way to a newer huggingface_hub.
        file = _download(full, facts.hf_hub_id, hub / full)
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


def _download(full: str, repository: str, folder: Path) -> Path:
    """Return the file of weights, downloaded if it is not there."""
    file = folder / "model.safetensors"
    if not file.exists():
        from huggingface_hub import constants, hf_hub_download

        check_address(f"the weights of timm's {full}", constants.ENDPOINT)
        try:
            with guarded():
                hf_hub_download(repository, file.name, local_dir=folder)
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
    return file


@hookimpl
def register_models() -> dict[str, object]:
    return {"timm": timm_model}
