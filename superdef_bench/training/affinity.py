"""The feature term of FAKD (Gao et al., ICIP 2020): which places of a map resemble each other."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from superdef_bench.errors import ConfigError
from superdef_bench.nn import EDSR, RCAN, SuperDef

_TAPS = 3


def tapped(network: nn.Module) -> list[nn.Module]:
    """Return three layers of a network, evenly spaced, the last one its deepest.

    Raises:
        ConfigError: The network is none that has them.
    """
    if not isinstance(network, EDSR | RCAN | SuperDef):
        raise ConfigError(f"{type(network).__name__} has no feature maps to compare")
    layers = list(network.body.children())
    return [layers[len(layers) * (tap + 1) // _TAPS - 1] for tap in range(_TAPS)]


@contextmanager
def feature_maps(network: nn.Module, *, wanted: bool = True) -> Iterator[list[Tensor]]:
    """Collect what the tapped layers return while the block runs, `(N, C, h, w)` each."""
    maps: list[Tensor] = []
    layers = tapped(network) if wanted else []

    def keep(layer: nn.Module, inputs: object, output: Tensor) -> None:
        maps.append(output)

    handles = [layer.register_forward_hook(keep) for layer in layers]
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
    """Return the mean absolute difference of affinities, averaged over maps of one size."""
    pairs = zip(student, teacher, strict=True)
    return torch.stack([(affinity(s) - affinity(t)).abs().mean() for s, t in pairs]).mean()
