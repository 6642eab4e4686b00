"""Checkpoints of EDSR and RCAN in the layout of their public repositories."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from superdef_bench.core.errors import ConfigError, DataError
from superdef_bench.nn.edsr import EDSR
from superdef_bench.nn.layers import LEVELS, SCALES, Restorer
from superdef_bench.nn.pretrained import fill, read_tensors
from superdef_bench.nn.rcan import RCAN

Tensors = Mapping[str, Tensor]

# Of github.com/sanghyun-son/EDSR-PyTorch and github.com/yulunzhang/RCAN, and our names.
_SHARED = {
    r"sub_mean\.(\w+)": r"subtract_mean.\1",
    r"head\.0\.(\w+)": r"head.\1",
    r"tail\.0\.(\d+\.\w+)": r"upsampler.\1",
    r"tail\.1\.(\w+)": r"tail.\1",
}
_EDSR = {
    r"body\.(\d+)\.body\.0\.(\w+)": r"body.\1.conv1.\2",
    r"body\.(\d+)\.body\.2\.(\w+)": r"body.\1.conv2.\2",
}
_BLOCK = r"body\.(\d+)\.body\.(\d+)\.body"
_RCAN = {
    _BLOCK + r"\.0\.(\w+)": r"body.\1.blocks.\2.conv1.\3",
    _BLOCK + r"\.2\.(\w+)": r"body.\1.blocks.\2.conv2.\3",
    _BLOCK + r"\.3\.conv_du\.0\.(\w+)": r"body.\1.blocks.\2.attention.squeeze.\3",
    _BLOCK + r"\.3\.conv_du\.2\.(\w+)": r"body.\1.blocks.\2.attention.excite.\3",
    r"body\.(\d+)\.body\.\d+\.(weight|bias)": r"body.\1.conv.\2",
}


def read_published(kind: str, path: Path, scale: int) -> Restorer:
    """Return the network in a published checkpoint; its sizes are read from the tensors.

    Args:
        kind: `edsr` or `rcan`.
        path: A file of `torch.save`, read as data only, or safetensors.
        scale: What the checkpoint must enlarge by.

    Raises:
        ConfigError: It is of another scale.
        DataError: It is missing, damaged, code, or of another architecture.
    """
    tensors = _without_prefix(read_tensors(path))
    names, build = PUBLISHED[kind]
    try:
        features = len(tensors["head.0.weight"])
        found = _scale(tensors, features)
        network = build(tensors, features, scale)
    except (ArithmeticError, ConfigError, KeyError, TypeError) as error:
        raise DataError(
            f"checkpoint {path} is no {kind.upper()} in the layout of its public repository",
            hint="the defense sr takes other architectures",
        ) from error
    if found != scale:
        raise ConfigError(
            f"checkpoint {path} enlarges by {found}, scale is {scale}",
            hint=f"set scale = {found}" if found in SCALES else f"take one for x{scale}",
        )
    fill(network, _renamed(tensors, {**_SHARED, **names}), path, f"this {kind.upper()}")
    _to_our_range(network)
    return network


def _edsr(tensors: Tensors, features: int, scale: int) -> Restorer:
    return EDSR(
        blocks=_count(tensors, r"body\.\d+\.body\.0\.weight"), features=features, scale=scale
    )


def _rcan(tensors: Tensors, features: int, scale: int) -> Restorer:
    squeezed = len(tensors["body.0.body.0.body.3.conv_du.0.weight"])
    return RCAN(
        groups=_count(tensors, r"body\.\d+\.body\.0\.body\.0\.weight"),
        blocks=_count(tensors, r"body\.0\.body\.\d+\.body\.0\.weight"),
        features=features,
        scale=scale,
        reduction=features // squeezed,
    )


PUBLISHED: dict[str, tuple[dict[str, str], Callable[[Tensors, int, int], Restorer]]] = {
    "edsr": (_EDSR, _edsr),
    "rcan": (_RCAN, _rcan),
}


def _count(tensors: Tensors, pattern: str) -> int:
    return sum(1 for name in tensors if re.fullmatch(pattern, name))


def _scale(tensors: Tensors, features: int) -> int:
    """Return 3 for one stage that widens ninefold, else 2 to the number of stages."""
    if len(tensors["tail.0.0.weight"]) == 9 * features:
        return 3
    return 2 ** _count(tensors, r"tail\.0\.\d+\.weight")


def _without_prefix(tensors: Tensors) -> Tensors:
    """Take off what wrappers leave before every name."""
    for prefix in ("module.", "model."):
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _renamed(tensors: Tensors, names: Mapping[str, str]) -> dict[str, Tensor]:
    found = {}
    for name, tensor in tensors.items():
        pattern = next((p for p in names if re.fullmatch(p, name)), None)
        found[re.sub(pattern, names[pattern], name) if pattern else name] = tensor
    return found


@torch.no_grad()
def _to_our_range(network: Restorer) -> None:
    """Let a network that was trained on 0..1 take 0..255, as ours do; its means tell which."""
    subtract, add = network.subtract_mean, network.add_mean
    assert subtract.bias is not None
    assert add.bias is not None
    if subtract.bias.abs().max() <= 1:
        subtract.weight /= LEVELS
        add.weight *= LEVELS
        add.bias *= LEVELS
