"""One photograph restored by several networks, as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from superdef_bench.core.errors import ConfigError, did_you_mean
from superdef_bench.core.transform import InputTransform
from superdef_bench.io.files import write_atomically
from superdef_bench.io.machine import fix_numerics
from superdef_bench.io.strips import draw_crops
from superdef_bench.measure.networks import networks_of
from superdef_bench.measure.photographs import Pair, restore, sets_of
from superdef_bench.nn.quality import psnr_y


def write_picture(
    path: Path,
    words: Sequence[str],
    place: str,
    *,
    scale: int,
    photograph: str,
    crop: str,
    device: torch.device,
) -> None:
    """Draw a photograph of a folder restored by each network.

    Args:
        path: PNG to write.
        words: Networks, as `networks_of` takes them.
        place: Folder, as `sets_of` takes it.
        scale: 2, 3 or 4.
        photograph: Beginning of the file's name, with or without its set, such as
            `Set5/img_003`; the first one that fits.
        crop: Left, top and side of the square to draw, with commas between.
        device: Where to compute.

    Raises:
        SuperdefError: See `sets_of`, `networks_of` and `restore`; or there is no such photograph or
            square.
    """
    fix_numerics()
    known = {
        f"{name}/{pair.large.stem}": pair
        for name, pairs in sets_of(place).items()
        for pair in pairs
    }
    found = next(
        (t for t in known if t.startswith(photograph) or t.split("/")[1].startswith(photograph)),
        None,
    )
    if found is None:
        raise ConfigError(
            f"there is no photograph {photograph!r} in {place}",
            hint=did_you_mean(photograph, known),
        )
    try:
        left, top, side = map(int, crop.split(","))
    except ValueError as error:
        raise ConfigError(
            f"crop is {crop!r}", hint="take three whole numbers, such as 0,0,96"
        ) from error
    networks = networks_of(words, scale, device)
    write_atomically(path, draw_restored(networks, known[found], scale, (left, top, side)))


def draw_restored(
    networks: Mapping[str, InputTransform], pair: Pair, scale: int, crop: tuple[int, int, int]
) -> bytes:
    """Return a PNG of a cut-out of a photograph, small, restored by each network, and as it is.

    Args:
        networks: By the name of their panels, each with the PSNR of the whole photograph.
        pair: The photograph.
        scale: What it is restored by.
        crop: Left, top and side of the square, in pixels of the photograph.

    Raises:
        ConfigError: The square is not inside the photograph.
    """
    large, small, _ = pair.read()
    left, top, side = crop
    height, width = large.shape[-2:]
    if min(left, top) < 0 or side < 1 or left + side > width or top + side > height:
        raise ConfigError(
            f"crop {left},{top},{side} is not inside {pair.large.name}, {width}x{height} pixels",
            hint="--crop LEFT,TOP,SIDE in pixels of the photograph",
        )

    def cut(image: Tensor) -> Tensor:
        return image[0, :, top : top + side, left : left + side]

    nearest = functional.interpolate(small, scale_factor=scale)
    panels = [(cut(nearest), "small, each pixel enlarged")]
    for name, transform in networks.items():
        _, restored, _ = restore(name, transform, pair, scale)
        decibels = float(psnr_y(restored, large, scale))
        panels.append((cut(restored), f"{name}, {decibels:.2f} dB"))
    return draw_crops([*panels, (cut(large), f"photograph {pair.large.stem}")])
