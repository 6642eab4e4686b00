"""The feature term of FAKD (Gao et al., ICIP 2020): which places of a map resemble each other."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from superdef_bench.errors import ConfigError
from superdef_bench.nn import EDSR, RCAN, SuperDef


def tapped(network: nn.Module) -> list[nn.Module]:
    """Return the layers whose inputs are compared: two inside the body, and what follows it.

    Raises:
        ConfigError: The network is none that has them.
    """
    if not isinstance(network, EDSR | RCAN | SuperDef):
        raise ConfigError(f"{type(network).__name__} has no feature maps to compare")
    layers = list(network.body.children())
    last = network.tail if isinstance(network, SuperDef) else network.upsampler
    return [layers[len(layers) // 3], layers[2 * len(layers) // 3], last]


@contextmanager
def feature_maps(network: nn.Module, *, wanted: bool = True) -> Iterator[list[Tensor]]:
    """Collect what the tapped layers are given while the block runs, `(N, C, h, w)` each."""
    maps: list[Tensor] = []
    layers = tapped(network) if wanted else []

    def keep(layer: nn.Module, inputs: tuple[Tensor]) -> None:
        maps.append(inputs[0])

    handles = [layer.register_forward_pre_hook(keep) for layer in layers]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()


def affinity(features: Tensor) -> Tensor:
    """Return the cosine of every two places of a map `(N, C, h, w)`: `(N, h w, h w)`."""
    columns = functional.normalize(features.float().flatten(2), dim=1)  # (N, C, h w)
    return torch.einsum("ncp,ncq->npq", columns, columns)


def affinity_loss(student: list[Tensor], teacher: list[Tensor]) -> Tensor:
    """Return the mean absolute difference of affinities, summed over maps of one size.

    FAKD weighs it against pixels in 0..255; here they are in [0, 1], and the sum is divided by
    255, so that a weight means what it means there.
    """
    pairs = zip(student, teacher, strict=True)
    return torch.stack([(affinity(s) - affinity(t)).abs().mean() for s, t in pairs]).sum() / 255
