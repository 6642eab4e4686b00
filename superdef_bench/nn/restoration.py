"""Super-resolution as an input transform, and the trained networks it runs."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from superdef_bench.core.errors import ConfigError, DataError
from superdef_bench.core.transform import InputTransform, Output
from superdef_bench.nn import weights as artefacts
from superdef_bench.nn.catalogue import build_network
from superdef_bench.nn.layers import check_sizes
from superdef_bench.nn.precision import DTYPES, Dtype, lower, with_scaled_gradient
from superdef_bench.nn.pretrained import check_file, fill
from superdef_bench.nn.published import PUBLISHED, read_published
from superdef_bench.nn.stages import wavelet_denoise

Denoise = Literal["none", "wavelet"]

_SMALLEST = 8  # pixels; smaller tiles are nearly all overlap


def load_network(kind: str, *, scale: int = 2, weights: str = "") -> nn.Module:
    """Return a trained super-resolution network, ready to use: folded, frozen, in eval mode.

    Args:
        kind: `edsr`, `rcan`, `superdef` or `superdef_no_kd`, as its recipe names it.
        scale: 2, 3 or 4.
        weights: What `superdef-bench train` wrote, its provenance beside it; for `edsr` and
            `rcan` also a checkpoint without provenance in the layout of the public
            repositories. If empty, the shipped weights.

    Raises:
        ConfigError: The weights are for another scale.
        DataError: There are none, they are damaged, or of another kind.
    """
    check_sizes(scale)
    path = Path(weights).expanduser() if weights else _shipped(kind, scale)
    if path.name.endswith(".checkpoint.safetensors"):
        raise DataError(
            f"{path} is what --resume goes on from",
            hint=f"the weights are {path.name.replace('.checkpoint', '')}",
        )
    check_file(path)
    published = kind in PUBLISHED and not path.with_suffix(".json").exists()
    read = read_published if published else _read_artefact
    network = read(kind, path, scale).eval().requires_grad_(False)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch lists no memory_format alone


def _shipped(kind: str, scale: int) -> Path:
    fitting = [
        path
        for path in sorted(artefacts.SHIPPED.glob("*.safetensors"))
        for record in [artefacts.read_provenance(path)]
        if record.get("kind") == kind and record.get("architecture", {}).get("scale") == scale
    ]
    if not fitting:
        raise DataError(
            f"no weights of {kind} x{scale} are shipped",
            hint=f"superdef-bench train {kind} --scale {scale} writes some, "
            'weights = "FILE.safetensors" takes them',
        )
    return fitting[0]


def network_facts(kind: str, *, scale: int = 2, weights: str = "") -> dict[str, Any]:
    """Return what is known of the network that `load_network` returns: hash, sizes, data.

    Empty for a published checkpoint, which has no provenance.
    """
    path = Path(weights).expanduser() if weights else _shipped(kind, scale)
    if not path.with_suffix(".json").exists():
        return {}
    record = artefacts.read_provenance(path)
    return {name: record.get(name) for name in ("sha256", "architecture", "data")}


def _read_artefact(kind: str, path: Path, scale: int) -> nn.Module:
    record: Any = artefacts.read_provenance(path)
    architecture = record.get("architecture") if isinstance(record, dict) else None
    if not isinstance(architecture, dict) or "sha256" not in record:
        raise DataError(
            f"weights {path} have a provenance that describes no super-resolution network",
            hint=f"superdef-bench train {kind} writes both files",
        )
    if record.get("kind") != kind:
        raise DataError(
            f"weights {path} are of {record.get('kind')!r}, not of {kind!r}",
            hint=f"take what superdef-bench train {kind} wrote",
        )
    if architecture.get("scale") != scale:
        raise ConfigError(
            f"weights {path} enlarge by {architecture.get('scale')}, scale is {scale}",
            hint=f"set scale = {architecture.get('scale')}",
        )
    with torch.device("meta"):  # a provenance may name any size: only one that is there is built
        needed = sum(tensor.numel() for tensor in build_network(architecture).state_dict().values())
    tensors = artefacts.load_weights(path)
    if needed > sum(tensor.numel() for tensor in tensors.values()):
        raise DataError(
            f"weights {path} are too few for the {kind} of their provenance",
            hint="take the file that was written with the weights",
        )
    network = build_network(architecture)
    fill(network, tensors, path, f"the {kind} of its provenance")
    return network


class SuperResolution(InputTransform):
    """Enlarge images by a super-resolution network, after wavelet denoising if asked.

    Args:
        network: Maps images `(N, 3, h, w)` in [0, 1] to larger ones, not clipped; its weights
            are cast to `dtype` in place.
        output: What becomes of the new size.
        denoise: `wavelet` puts BayesShrink before the network, as Mustafa et al. (2020) do.
        sigma: Standard deviation of the noise that it takes out, in RGB units on [0, 1].
        tile: Side in pixels of the tiles that an image is restored in, to save memory; each
            sees 16 pixels around it. 0 restores it as a whole. A network that sees farther, or
            averages over the image as RCAN's attention does, gives a slightly different image.
        self_ensemble: Take the mean over the eight flips and turns.
        dtype: What the network computes in; images stay float32.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        output: Output = "native",
        denoise: Denoise = "none",
        sigma: float = 0.04,
        tile: int = 0,
        self_ensemble: bool = False,
        dtype: Dtype = "float32",
    ) -> None:
        super().__init__()
        if output not in ("native", "resize_back"):
            raise ValueError(f"output is {output!r}, take native or resize_back")
        if denoise not in ("none", "wavelet"):
            raise ValueError(f"denoise is {denoise!r}, take none or wavelet")
        if not sigma > 0:
            raise ValueError(f"sigma is {sigma}, take a number above 0")
        if tile != 0 and tile < _SMALLEST:
            raise ValueError(f"tile is {tile}, take 0 for none, or {_SMALLEST} or more")
        if dtype not in DTYPES:
            raise ValueError(f"dtype is {dtype!r}, take {', '.join(DTYPES)}")
        self.network = lower(network, DTYPES[dtype])
        self.output, self.denoise, self.sigma = output, denoise, sigma
        self.tile, self.self_ensemble, self.dtype = tile, self_ensemble, dtype
        # Thresholds of wavelets are those of the image; tiles of its own are not those of `apply`.
        if denoise == "none" and not tile:
            self.reach = getattr(network, "reach", None)

    def transform(self, x: Tensor) -> Tensor:
        if self.denoise == "wavelet":
            x = wavelet_denoise(x, sigma=self.sigma)
        return self.enlarge(x)

    def enlarge(self, x: Tensor) -> Tensor:
        """Return images `(N, C, scale H, scale W)` in [0, 1]; C is 3, or 1 for grey ones."""
        grey = x.shape[1] == 1
        colour = x.expand(-1, 3, -1, -1) if grey else x
        tiled = partial(in_tiles, self._restore, tile=self.tile) if self.tile else self._restore
        out = ensemble(tiled, colour) if self.self_ensemble else tiled(colour)
        if grey:
            out = out.mean(dim=1, keepdim=True)
        # Convolutions leave their own memory format, on which a classifier's `view` stops.
        return out.clamp(0.0, 1.0).contiguous()

    def _restore(self, x: Tensor) -> Tensor:
        if self.dtype == "float16":
            return with_scaled_gradient(self.network, x)
        out: Tensor = self.network(x)
        return out.float()


OVERLAP = 16  # pixels on each side of a tile that its neighbours also see
_PIXELS = 2**15  # of the tiles that go through the network at once

Network = Callable[[Tensor], Tensor]


def in_tiles(network: Network, x: Tensor, tile: int) -> Tensor:
    """Return `network(x)` computed from tiles of `tile` pixels and their surroundings.

    Every tile is as large as any other, so several go through the network at once. Where a
    gradient is asked for, the backward pass computes each bundle of tiles again instead of
    keeping its activations.

    Args:
        network: Maps `(N, C, h, w)` to `(N, C', scale h, scale w)`, and sees at most `OVERLAP`
            pixels far if the result is to be the same.
        x: Images `(N, C, H, W)`.
        tile: Side of what each tile contributes, in pixels of `x`.
    """
    height, width = x.shape[-2:]
    rows, columns = _cuts(height, tile), _cuts(width, tile)
    if len(rows) == len(columns) == 1:
        return network(x)
    high, wide = min(tile + 2 * OVERLAP, height), min(tile + 2 * OVERLAP, width)
    tiles = torch.cat(
        [x[..., r : r + high, c : c + wide] for r, _, _ in rows for c, _, _ in columns]
    )
    restored = torch.cat(
        [_run(network, part) for part in tiles.split(max(_PIXELS // (high * wide), 1))]
    )
    scale = restored.shape[-1] // wide
    parts = iter(restored.split(len(x)))
    return torch.cat(
        [
            torch.cat(
                [
                    next(parts)[..., scale * top : scale * bottom, scale * left : scale * right]
                    for _, left, right in columns
                ],
                dim=-1,
            )
            for _, top, bottom in rows
        ],
        dim=-2,
    )


def _cuts(length: int, tile: int) -> list[tuple[int, int, int]]:
    """Return where each tile starts, and where in it its own part starts and ends."""
    size = min(tile + 2 * OVERLAP, length)
    found = []
    for own in range(0, length, tile):
        start = min(max(own - OVERLAP, 0), length - size)
        found.append((start, own - start, min(own + tile, length) - start))
    return found if size < length else [(0, 0, length)]


def _run(network: Network, tiles: Tensor) -> Tensor:
    if not (torch.is_grad_enabled() and tiles.requires_grad):
        return network(tiles)
    out: Tensor = checkpoint(network, tiles, use_reentrant=False, preserve_rng_state=False)
    return out


def ensemble(network: Network, x: Tensor) -> Tensor:
    """Return the mean of `network` over the eight flips and turns of `x`, each turned back."""
    total: Tensor | None = None
    for turns in range(4):
        for flip in (False, True):
            turned = x.rot90(turns, (-2, -1))
            out = network(turned.flip(-1) if flip else turned)
            back = (out.flip(-1) if flip else out).rot90(-turns, (-2, -1))
            total = back if total is None else total + back
    assert total is not None
    return total / 8
