"""How well networks of super-resolution restore photographs: rows of PSNR and SSIM."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from superdef_bench import api
from superdef_bench.cost import gmac, parameters
from superdef_bench.errors import ConfigError, DataError
from superdef_bench.nn import SuperResolution, load_network
from superdef_bench.pairs import Pair, sets_of
from superdef_bench.process import fix_numerics
from superdef_bench.progress import progress_bar
from superdef_bench.provenance import machine, versions
from superdef_bench.quality import luma, psnr_y, ssim
from superdef_bench.quality_results import QualityResults
from superdef_bench.results import SCHEMA
from superdef_bench.transform import InputTransform, Protected
from superdef_bench.weights import read_provenance

OUTPUT = (720, 1280)  # height and width that papers count multiply-accumulates at


def restorer(word: str, scale: int, device: torch.device) -> tuple[str, InputTransform]:
    """Return a network with the name of its row, ready to use.

    Args:
        word: Defense plugin with an option `scale`, or a file of weights with its provenance.
        scale: 2, 3 or 4.
        device: Where to compute.

    Raises:
        ConfigError: The defense is no input transform, or has no such scale.
        DataError: The weights cannot be used.
    """
    if word.endswith(".safetensors"):
        kind = str(read_provenance(Path(word)).get("kind"))
        transform: Any = SuperResolution(load_network(kind, scale=scale, weights=word))
        name = Path(word).stem
    else:
        plugin, name = api.plugins().get("defense", word), word
        transform = plugin.build(**({"scale": scale} if "scale" in plugin.defaults else {}))
    if not isinstance(transform, InputTransform):
        raise ConfigError(f"defense {word!r} is no input transform", hint="take edsr, for example")
    return name, transform.eval().requires_grad_(False).to(device)


@torch.no_grad()
def quality_rows(
    networks: Mapping[str, InputTransform], sets: Mapping[str, Sequence[Pair]], scale: int
) -> Iterator[dict[str, Any]]:
    """Yield a row per network and set: mean PSNR in dB and SSIM, as papers report them.

    Both on luma of images rounded to 8 bits, without `scale` pixels on each side.

    Raises:
        ConfigError: A defense does not enlarge by `scale`.
        DataError: A photograph cannot be read, or is of another scale.
    """
    with progress_bar(len(networks) * sum(map(len, sets.values()))) as bar:
        for name, pairs in sets.items():
            found: dict[str, list[tuple[float, float]]] = {network: [] for network in networks}
            for number, pair in enumerate(pairs):
                large, small, factor = pair.read()
                if factor != scale:
                    raise DataError(f"{pair.small} is for x{factor}", hint=f"--scale {factor}")
                for network, transform in networks.items():
                    bar.show(f"restoring {name}", f"{number}/{len(pairs)}, {network}")
                    found[network].append(_measure(transform, network, small, large, scale))
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


def _measure(
    transform: InputTransform, name: str, small: Tensor, large: Tensor, scale: int
) -> tuple[float, float]:
    device = next(iter(transform.state_dict().values()), small).device
    restored = transform(small.to(device)).cpu()
    if restored.shape != large.shape:
        sizes = " and ".join(f"{y.shape[-1]}x{y.shape[-2]}" for y in (restored, large))
        raise ConfigError(
            f"{name} makes an image of another size than the photograph: {sizes}",
            hint=f"take networks that enlarge by {scale}",
        )
    inner = slice(scale, -scale)
    planes = [luma((y * 255).round() / 255)[..., inner, inner] for y in (restored, large)]
    return float(psnr_y(restored, large, scale)), float(ssim(*planes))


def facts(transform: InputTransform, scale: int) -> dict[str, Any]:
    """Return parameters, and GMAC for an output of 1280x720 pixels, as papers count them.

    GMAC is None for a transform that looks at the values of the image on its way.
    """
    height, width = (side // scale for side in OUTPUT)
    bare = copy.deepcopy(transform).to("meta")
    image = torch.zeros(1, 3, height, width, device="meta")
    try:
        work = gmac(Protected([bare], nn.Identity()), image, stages_only=True)
    except (NotImplementedError, RuntimeError):
        return {"params": parameters(transform), "gmac": None}
    return {"params": parameters(transform), "gmac": round(work, 3)}


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
        words: Networks, as `restorer` takes them.
        place: Folder, as `sets_of` takes it.
        scale: 2, 3 or 4.
        name: Of the table.
        device: Where to compute.
        folder: Where the results will be, for the table to say.
        command: What was typed.

    Raises:
        SuperdefError: See `sets_of`, `restorer` and `quality_rows`.
    """
    fix_numerics()
    sets = sets_of(place)
    networks = dict(restorer(word, scale, device) for word in words)
    rows = list(quality_rows(networks, sets, scale))
    where = folder.name if folder.is_absolute() else folder.as_posix()
    return QualityResults(
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
            "networks": {network: facts(t, scale) for network, t in networks.items()},
            "quality": rows,
        }
    )
