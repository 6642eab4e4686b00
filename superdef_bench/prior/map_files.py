"""A map in a file, and the pictures of what was found in it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from superdef_bench.core.errors import ConfigError
from superdef_bench.io.files import write_atomically
from superdef_bench.io.pictures import read_upright
from superdef_bench.io.pixels import to_png, to_tensor
from superdef_bench.io.progress import progress_bar
from superdef_bench.prior.maps import draw_map
from superdef_bench.prior.text import Found, Residual, blurred, residuals

_PARTS = ("drawn", "left", "text", "strip")
_LOOKS = 8  # at a fit whose text is known
_GAP = 4  # white pixels between the pictures of a strip


def read_map(file: Path) -> Tensor:
    """Return the image of a file, `(3, H, W)` in [0, 1].

    Raises:
        DataError: It cannot be read.
    """
    return to_tensor(read_upright(file))[0].expand(3, -1, -1)


def read_text(file: Path) -> Tensor:
    """Return where text is in a picture of it, white on black, bool `(H, W)`.

    Raises:
        DataError: It cannot be read.
    """
    return read_map(file).mean(dim=0) >= 0.5


@dataclass(frozen=True)
class MapToRead:
    """A map whose text is to be found.

    Attributes:
        name: For messages.
        kind: What begins the lines of its kind in tables; empty for a file.
        image: `(3, H, W)` in [0, 1].
        text: Its text where that is known, bool `(H, W)`.
        files: What will be written, by part: `map-drawn.png` and the like.
    """

    name: str
    kind: str
    image: Tensor
    text: Tensor | None
    files: Mapping[str, Path]


def maps_to_read(
    image: Path | None, drawn: int, known: Path | None, out: Path, *, force: bool
) -> list[MapToRead]:
    """Return one map of a file, or `drawn` plans and as many aerial maps drawn by code.

    Raises:
        ConfigError: There is neither or both, or a file to be written is there already.
        DataError: The file or its known text cannot be read.
    """
    if (image is None) == (drawn < 1) or (known and drawn):
        raise ConfigError(
            "one map in a file, or maps drawn by code",
            hint="superdef-bench residual map.png -o out, or residual --drawn 4 -o out",
        )
    if image is not None:
        files = _planned(image.stem, out, force=force)
        text = read_text(known) if known else None
        return [MapToRead(image.name, "", read_map(image), text, files)]
    found = []
    for aerial in (False, True):
        kind = "aerial" if aerial else "plan"
        for number in range(drawn):
            name = f"{kind}-{number}"
            one = draw_map(number, aerial=aerial)
            files = _planned(name, out, force=force)
            found.append(MapToRead(name, f"{kind}: ", one.image, one.text, files))
    return found


def _planned(name: str, out: Path, *, force: bool) -> Mapping[str, Path]:
    files = {part: out / f"{name}-{part}.png" for part in _PARTS}
    there = [file for file in files.values() if file.exists()]
    if there and not force:
        raise ConfigError(
            f"{there[0]} exists already", hint="--force overwrites; or another folder with -o"
        )
    return files


def find_text(
    maps: Sequence[MapToRead],
    iterations: int,
    threshold: float,
    *,
    seed: int,
    device: torch.device,
    report: Callable[[Path], None],
) -> Mapping[str, Found]:
    """Fit a network to each map and write what it leaves.

    Args:
        maps: Maps.
        iterations: Of each fit.
        threshold: Of `Residual.text`.
        seed: Of the first map's network; the next ones have the numbers after it.
        device: Where to compute.
        report: Gets each file that was written.

    Returns:
        How well known text was found, the mean over maps of a kind: by a blur, then after some
        iterations. Nothing where none is known.

    Raises:
        ConfigError: There are no iterations.
        DataError: A map cannot be fitted, its known text is of another size, or a file cannot be
            written.
    """
    found: dict[str, list[Found]] = {}
    with progress_bar(len(maps) * iterations) as bar:
        for number, each in enumerate(maps):
            picture = each.image.to(device)
            text = None if each.text is None else each.text.to(device)
            if text is not None:
                by_blur = Found.of(blurred(picture).text(threshold), text)
                found.setdefault(f"{each.kind}a blur", []).append(by_blur)
            for residual in residuals(picture, iterations, seed=seed + number):
                step = residual.iteration
                looked = step * _LOOKS // iterations > (step - 1) * _LOOKS // iterations
                if text is not None and looked:
                    by_fit = Found.of(residual.text(threshold), text)
                    found.setdefault(f"{each.kind}{step}", []).append(by_fit)
                bar.show(f"drawing {each.name}", f"{step}/{iterations} iterations")
                bar.advance(1)
            for path in write_residual(each.files, residual, threshold):
                report(path)
    return {what: Found.mean(several) for what, several in found.items()}


def write_residual(
    files: Mapping[str, Path], residual: Residual, threshold: float
) -> Sequence[Path]:
    """Write what was drawn, what is left (grey where nothing is) and the text; return the files.

    The last one has the map and the three side by side.

    Raises:
        DataError: One cannot be written.
    """
    text = residual.text(threshold)[None].float().expand_as(residual.drawn)
    pictures = {"drawn": residual.drawn, "left": 0.5 + residual.left / 2, "text": text}
    gap = torch.ones_like(text[..., :_GAP])
    beside = [residual.drawn + residual.left]
    for picture in pictures.values():
        beside += [gap, picture]
    pictures["strip"] = torch.cat(beside, dim=2)
    for part, picture in pictures.items():
        write_atomically(files[part], to_png(picture.cpu()))
    return list(files.values())
