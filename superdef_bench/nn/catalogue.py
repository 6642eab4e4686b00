"""Super-resolution networks by name and size, as recipes and provenance name them."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from superdef_bench.core.errors import ConfigError, DataError
from superdef_bench.nn.edsr import EDSR
from superdef_bench.nn.rcan import RCAN
from superdef_bench.nn.superdef import SuperDef

_NETWORKS: dict[str, type[nn.Module]] = {"EDSR": EDSR, "RCAN": RCAN, "SuperDef": SuperDef}
_USUAL = {"EDSR": ("16x64", "32x256"), "RCAN": ("10x20x64",), "SuperDef": ("8x48",)}
_SIZES = {
    "EDSR": ("blocks", "features"),
    "RCAN": ("groups", "blocks", "features"),
    "SuperDef": ("layers", "features"),
}


def architecture(network: str, size: str, scale: int) -> dict[str, Any]:
    """Return what describes a network, from a size such as `16x64`.

    Args:
        network: `EDSR` (blocks x features), `RCAN` (groups x blocks x features) or `SuperDef`
            (layers x features; three numbers mean an RCAN as the student).
        size: Numbers with an x between them.
        scale: 2, 3 or 4.

    Raises:
        ConfigError: The size has another form.
    """
    words = size.lower().split("x")
    if network == "SuperDef" and len(words) == 3:
        network = "RCAN"
    names = _SIZES[network]
    if len(words) != len(names) or not all(word.isascii() and word.isdecimal() for word in words):
        raise ConfigError(
            f"size {size!r} is none of {network}",
            hint=f"it takes {' x '.join(names)}, such as "
            + "x".join(["4", "4", "32"][-len(names) :]),
        )
    numbers = dict(zip(names, map(int, words), strict=True))
    return {"network": network, **numbers, "scale": scale}


def unusual_size(network: nn.Module) -> str:
    """Return the size of a network as in `8x32`; empty where it is the usual one of its kind.

    Usual are the sizes that papers publish, and the default of SuperDef.
    """
    size = str(getattr(network, "size", ""))
    kind = type(network).__name__
    return "" if size in _USUAL.get(kind, ()) else size


def build_network(record: Mapping[str, Any]) -> nn.Module:
    """Return the untrained network that `architecture`, or a provenance, describes.

    Raises:
        DataError: It describes none.
    """
    sizes = {name: value for name, value in record.items() if name != "network"}
    try:
        return _NETWORKS[record["network"]](**sizes)
    except (KeyError, TypeError) as error:
        raise DataError(f"no super-resolution network is {dict(record)}") from error
