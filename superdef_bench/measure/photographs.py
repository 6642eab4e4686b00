"""Photographs in pairs, and how well networks restore them: rows of PSNR and SSIM."""

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from superdef_bench.core.errors import ConfigError, DataError
from superdef_bench.core.fingerprint import tensors
from superdef_bench.core.transform import InputTransform, Protected
from superdef_bench.io.datasets import hash_files, to_images
from superdef_bench.io.files import find_data, portable
from superdef_bench.io.machine import fix_numerics, machine, versions
from superdef_bench.io.pictures import SUFFIXES, read_picture
from superdef_bench.io.progress import progress_bar
from superdef_bench.measure.networks import networks_of
from superdef_bench.measure.work import gmac, parameters
from superdef_bench.nn.quality import luma, psnr_y, ssim
from superdef_bench.results.facts import SCHEMA
from superdef_bench.results.schema import QualityResults

_LARGE, _SMALL = "_HR", "_LR"
_HINT = "it holds pairs such as a_HR.png and a_LR.png, in itself or in one folder per set"


@dataclass(frozen=True)
class Pair:
    """A photograph and its small version, as files.

    Attributes:
        large: The photograph.
        small: The same, made smaller.
    """

    large: Path
    small: Path

    def read(self) -> tuple[Tensor, Tensor, int]:
        """Return both as `(1, C, H, W)` in [0, 1], and the scale between them.

        Raises:
            DataError: One cannot be read, or their sizes do not fit.
        """
        large, small = (_image(path) for path in (self.large, self.small))
        (height, width), (h, w) = large.shape[-2:], small.shape[-2:]
        scale = height // h
        if (height, width) != (scale * h, scale * w) or large.shape[1] != small.shape[1]:
            raise DataError(
                f"{self.large.name} has {width}x{height} pixels, {self.small.name} {w}x{h}",
                hint="both are grey or RGB, and one is a whole number of times as large",
            )
        return large, small, scale


def _image(path: Path) -> Tensor:
    """Return a file as `(1, C, H, W)` in [0, 1], one channel if it is grey."""
    pixels = np.array(read_picture(path))
    return to_images(pixels[None, ..., None] if pixels.ndim == 2 else pixels[None])


def sets_of(place: str) -> dict[str, list[Pair]]:
    """Return the pairs of a folder by the name of their set: each folder in it, or itself.

    The smallest set comes first.

    Raises:
        DataError: There are none, or one has no partner.
    """
    folder = find_data(place)
    if not folder.is_dir():
        raise DataError(f"there is no folder {place}", hint=_HINT)
    whole = folder.resolve()
    found = {part.name: _pairs(part) for part in sorted(whole.iterdir())}
    own = _pairs(whole)
    if own:
        found[whole.name] = own
    if not any(found.values()):
        raise DataError(f"folder {place} has no pairs of photographs", hint=_HINT)
    small_first = sorted(found.items(), key=lambda item: len(item[1]))
    return {name: pairs for name, pairs in small_first if pairs}


def _pairs(folder: Path) -> list[Pair]:
    if not folder.is_dir():
        return []
    large = [f for f in sorted(folder.iterdir()) if f.stem.endswith(_LARGE)]
    pairs = []
    for file in (f for f in large if f.suffix.lower() in SUFFIXES):
        small = file.with_name(file.stem.removesuffix(_LARGE) + _SMALL + file.suffix)
        if not small.is_file():
            raise DataError(f"photograph {file} has no {small.name} beside it", hint=_HINT)
        pairs.append(Pair(file, small))
    return pairs


def hash_pairs(name: str, pairs: Sequence[Pair]) -> str:
    """Return the sha256 of the files of a set.

    Args:
        name: Of the set.
        pairs: Its photographs.
    """
    places = [path.name for pair in pairs for path in (pair.large, pair.small)]
    return hash_files(name, "pairs", pairs[0].large.parent, places)


OUTPUT = (720, 1280)  # height and width that papers count multiply-accumulates at


def quality_rows(
    networks: Mapping[str, InputTransform], sets: Mapping[str, Sequence[Pair]], scale: int
) -> Iterator[dict[str, Any]]:
    """Yield a row per network and set: mean PSNR in dB and SSIM, as papers report them.

    Both on luma of images rounded to 8 bits, without `scale` pixels on each side.

    Raises:
        ConfigError: A defense does not enlarge by `scale`.
        DataError: A photograph cannot be read, is of another scale, or has no finite PSNR.
    """
    with progress_bar(len(networks) * sum(map(len, sets.values()))) as bar:
        for name, pairs in sets.items():
            found: dict[str, list[tuple[float, float]]] = {network: [] for network in networks}
            for number, pair in enumerate(pairs):
                for network, transform in networks.items():
                    bar.show(f"restoring {name}", f"{number}/{len(pairs)} photographs, {network}")
                    found[network].append(_measure(network, transform, pair, scale))
                    bar.advance(1)
            for network, values in found.items():
                mean_psnr, mean_ssim = torch.tensor(values, dtype=torch.float64).mean(0).tolist()
                yield {
                    "network": network,
                    "dataset": name,
                    "scale": scale,
                    "psnr": round(mean_psnr, 4),
                    "ssim": round(mean_ssim, 4),
                    "n": len(values),
                }


def restore(
    name: str, transform: InputTransform, pair: Pair, scale: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the small photograph, the restored one and the large one, `(1, C, H, W)`.

    Args:
        name: Of the network, for messages.
        transform: The network.
        pair: Files of the photograph.
        scale: What it is restored by.

    Raises:
        ConfigError: The network does not enlarge by `scale`.
        DataError: The photograph cannot be read, or is of another scale.
    """
    if transform.stochastic:
        raise ConfigError(
            f"{name} is random: no one image is what it restores", hint="take edsr, for example"
        )
    large, small, factor = pair.read()
    if factor != scale:
        raise DataError(f"{pair.small} is for x{factor}", hint=f"--scale {factor}")
    device = next(iter(transform.state_dict().values()), small).device
    with torch.no_grad():
        restored = transform(small.to(device)).cpu()
    if restored.shape != large.shape:
        sizes = " and ".join(f"{y.shape[-1]}x{y.shape[-2]}" for y in (restored, large))
        raise ConfigError(
            f"{name} makes an image of another size than the photograph: {sizes}",
            hint=f"take networks that enlarge by {scale}",
        )
    return small, restored, large


def _measure(name: str, transform: InputTransform, pair: Pair, scale: int) -> tuple[float, float]:
    _, restored, large = restore(name, transform, pair, scale)
    inner = slice(scale, -scale)
    planes = [luma((y * 255).round() / 255)[..., inner, inner] for y in (restored, large)]
    found = float(psnr_y(restored, large, scale)), float(ssim(*planes))
    if not all(map(math.isfinite, found)):
        raise DataError(
            f"photograph {pair.large} is too small, or {name} restores it without any error",
            hint="take it out: it has no mean PSNR",
        )
    return found


def facts(transform: InputTransform, scale: int) -> dict[str, Any]:
    """Return parameters, and GMAC for an output of 1280x720 pixels, as papers count them.

    GMAC is None for a transform that looks at the values of the image on its way.
    """
    height, width = (side // scale for side in OUTPUT)
    bare = copy.deepcopy(transform).to("meta")
    image = torch.zeros(1, 3, height, width, device="meta")
    try:
        work = round(gmac(Protected([bare], nn.Identity()), image, stages_only=True), 3)
    except (NotImplementedError, RuntimeError):
        work = None
    return {"params": parameters(transform), "gmac": work}


def measure_quality(
    words: Sequence[str],
    place: str,
    *,
    scale: int,
    name: str,
    device: torch.device,
    folder: Path,
    command: str,
) -> QualityResults:
    """Measure networks on the photographs of a folder.

    Args:
        words: Networks, as `networks_of` takes them.
        place: Folder, as `sets_of` takes it.
        scale: 2, 3 or 4.
        name: Of the table.
        device: Where to compute.
        folder: Where the results will be, for the table to say.
        command: What was typed.

    Raises:
        SuperdefError: See `sets_of`, `networks_of` and `quality_rows`.
    """
    fix_numerics()
    sets = sets_of(place)
    networks = networks_of(words, scale, device)
    rows = list(quality_rows(networks, sets, scale))
    where = portable(folder)
    return QualityResults.of(
        {
            "schema": SCHEMA,
            "name": name,
            "scale": scale,
            "provenance": {
                "command": command,
                "file": f"{where}/{name}.json",
                "versions": versions(),
                "machine": machine(str(device)),
            },
            "sets": {title: hash_pairs(title, pairs) for title, pairs in sets.items()},
            "networks": {
                network: {**facts(t, scale), "weights_sha256": tensors(t.state_dict())}
                for network, t in networks.items()
            },
            "quality": rows,
        }
    )
