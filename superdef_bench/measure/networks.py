"""The networks that a command line names: defenses, files of weights, sizes without weights."""

import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from superdef_bench.core import loader
from superdef_bench.core.errors import ConfigError, DataError, SuperdefError
from superdef_bench.core.threats import UNDEFENDED
from superdef_bench.core.transform import InputTransform, Protected
from superdef_bench.nn import (
    SuperResolution,
    architecture,
    build_network,
    load_network,
    unusual_size,
)
from superdef_bench.nn.pretrained import check_file
from superdef_bench.nn.weights import read_provenance

KINDS = ("edsr", "rcan", "superdef", "superdef_no_kd")
_LONG = 1.0  # seconds of an image; a fit for each takes longer
_UNTRAINED = {"EDSR": "EDSR", "RCAN": "RCAN", "SUPERDEF": "SuperDef"}


def networks_of(
    words: Sequence[str], scale: int, device: torch.device, *, untrained: bool = False
) -> dict[str, InputTransform]:
    """Return networks by the name of their row, ready to use.

    Args:
        words: Defense plugins, files of weights with their provenance, or, if `untrained`, sizes
            with random weights such as `RCAN:10x20x64`.
        scale: 2, 3 or 4; for what has such an option.
        device: Where to compute.
        untrained: Whether random weights will do.

    Raises:
        ConfigError: One is no input transform, has no such scale, or is named twice.
        DataError: Weights cannot be used.
    """
    found: dict[str, InputTransform] = {}
    for word in words:
        if untrained and ":" in word:
            name, transform = word, _untrained(word, scale)
        elif word.endswith(".safetensors"):
            name, transform = Path(word).stem, _weights(word, scale)
            name = f"{Path(word).resolve().parent.name}/{name}" if name in found else name
        else:
            name, transform = _defense(word, scale)
        if name in found:
            raise ConfigError(f"network {name!r} is named twice", hint="name each once")
        found[name] = transform.eval().requires_grad_(False).to(device)
    return found


def pipelines_of(
    words: Sequence[str], model: str, scale: int, device: torch.device
) -> tuple[dict[str, Protected], dict[str, str]]:
    """Return classifiers behind networks by the name of their row; last `none`, the bare one.

    Args:
        words: As `networks_of` takes them; without any, all defenses that need no argument and
            take no longer than a second for a small image.
        model: Classifier: a plugin, or an untrained one of torchvision, `torchvision:resnet50`.
        scale: 2, 3 or 4; for what has such an option.
        device: Where to compute.

    Returns:
        The classifiers, and why a defense that nobody named was left out, by its name.

    Raises:
        ConfigError: One is no input transform, has no such scale, or is named twice.
        DataError: Weights cannot be used.
    """
    kind, _, name = model.partition(":")
    settings = {"name": name, "weights": "none"} if name else {}
    classifier = loader.load_model(kind, **settings).requires_grad_(False).to(device)
    found: dict[str, InputTransform] = {}
    left_out: dict[str, str] = {}
    if words:
        found = networks_of([w for w in words if w != UNDEFENDED], scale, device, untrained=True)
    for word in [] if words else loader.plugins().plugins["defense"]:
        try:
            found |= networks_of([word] if word != UNDEFENDED else [], scale, device)
        except SuperdefError as error:
            left_out[word] = error.message
            continue
        seconds = _seconds(found[word], device) if word in found else 0.0
        if seconds > _LONG:
            del found[word]
            left_out[word] = f"takes {seconds:.0f} s for an image of 32x32; name it to measure it"
    pipelines = {name: Protected([network], classifier) for name, network in found.items()}
    pipelines[UNDEFENDED] = Protected([], classifier)
    return {name: one.eval() for name, one in pipelines.items()}, left_out


def _seconds(transform: InputTransform, device: torch.device) -> float:
    """Return the seconds of a pass over one small image; 0 where it fails, which is told later."""
    image = torch.full((1, 3, 32, 32), 0.5, device=device)
    start = time.perf_counter()
    try:
        with torch.no_grad():
            Protected([transform], nn.Identity()).eval().defend(image)
        if device.type == "cuda":
            torch.cuda.synchronize()
    except KeyboardInterrupt:
        raise
    except BaseException:  # a plugin may raise anything
        return 0.0
    return time.perf_counter() - start


def _untrained(word: str, scale: int) -> InputTransform:
    kind, _, size = word.partition(":")
    if kind.upper() not in _UNTRAINED:
        raise ConfigError(f"no network {kind!r}", hint=f"known: {', '.join(_UNTRAINED)}")
    found = architecture(_UNTRAINED[kind.upper()], size, scale)
    if found["network"] == "SuperDef":
        found["folded"] = True
    network = build_network(found).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch lists no memory_format alone
    return SuperResolution(network)


def _weights(word: str, scale: int) -> InputTransform:
    check_file(Path(word))
    kind = str(read_provenance(Path(word)).get("kind"))
    if kind not in KINDS:
        raise DataError(
            f"weights {word} are of {kind!r}, no network of super-resolution",
            hint=f"take what superdef-bench train wrote: {', '.join(KINDS)}",
        )
    return SuperResolution(load_network(kind, scale=scale, weights=word))


def _defense(word: str, scale: int) -> tuple[str, InputTransform]:
    plugin = loader.plugins().get("defense", word)
    transform = plugin.build(**({"scale": scale} if "scale" in plugin.defaults else {}))
    if not isinstance(transform, InputTransform):
        raise ConfigError(f"defense {word!r} is no input transform", hint="take edsr, for example")
    size = unusual_size(getattr(transform, "network", nn.Identity()))
    return (f"{word} ({size})" if size else word), transform
