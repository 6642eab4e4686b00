"""Run one input transform on image files, or on images of a dataset."""

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from superdef_bench.core.arguments import split_flags
from superdef_bench.core.calls import calling
from superdef_bench.core.checks import check_defended, check_defense_facts, plain_tensor
from superdef_bench.core.errors import (
    ConfigError,
    DataError,
    InterruptError,
    PluginError,
    SuperdefError,
)
from superdef_bench.core.plugins import Plugin
from superdef_bench.core.rng import Random, image_id
from superdef_bench.core.tiles import Tile, bands, overlap_of, scale_of
from superdef_bench.core.transform import InputTransform
from superdef_bench.core.types import Dataset
from superdef_bench.io.files import write_atomically, written_whole
from superdef_bench.io.machine import fix_numerics
from superdef_bench.io.pictures import SUFFIXES, read_upright
from superdef_bench.io.pixels import to_picture, to_pixels, to_png, to_tensor
from superdef_bench.io.png import PngRows
from superdef_bench.io.progress import progress_bar

AT_ONCE = 2**20  # pixels of an image that is not taken apart
TILE = 256  # side of what a tile contributes: EDSR takes half a gigabyte to enlarge it fourfold
MOST_OF_DATASET = 16  # images; a folder is the way to more
MOST_WHOLE = 2**22  # pixels of an image that cannot be: wavelets take two gigabytes for them
_NO_FILE_NAME = re.compile(r"[^\w.+-]")  # of a family's member, say: `library:name`


@dataclass(frozen=True)
class Input:
    """An image to transform.

    Args:
        name: What its result is called after, and a random defense draws by.
        title: What messages call it.
        read: Returns it, of 8 bits, grey or RGB.
        file: Where it lies; None for one that is no file.
    """

    name: str
    title: str
    read: Callable[[], Image.Image]
    file: Path | None = None


@dataclass(frozen=True)
class Applied:
    """A transformed image.

    Attributes:
        path: File written.
        before: Width and height of the input.
        after: Width and height of the output.
        seconds: Time of the transform alone.
    """

    path: Path
    before: tuple[int, int]
    after: tuple[int, int]
    seconds: float

    def __str__(self) -> str:
        sizes = " -> ".join(f"{width}x{height}" for width, height in (self.before, self.after))
        return f"{self.path}  {sizes}  {1000 * self.seconds:.1f} ms"


def apply_words(
    plugin: Plugin,
    words: Sequence[str],
    out: Path,
    *,
    dataset: Dataset | None = None,
    force: bool,
    device: torch.device,
    seed: int,
    report: Callable[[str], None],
) -> None:
    """Transform the images that a command line names, by the arguments that it gives.

    Args:
        plugin: The defense.
        words: Image files, folders of them, and the defense's arguments as flags.
        out: Folder for the results.
        dataset: Its first images are transformed, 16 at most, beside those of the words.
        force: Overwrite what is there.
        device: Where to compute.
        seed: Seed of a stochastic transform.
        report: Takes a line for each image written, and one for all.

    Raises:
        SuperdefError: See `build_transform`, `inputs_in`, `plan` and `apply`.
    """
    fix_numerics()
    arguments, files = split_flags(plugin.factory, words, plugin.title)
    transform = build_transform(plugin, arguments, device)
    inputs = [*inputs_in([Path(file) for file in files]), *(images_of(dataset) if dataset else ())]
    planned = plan(plugin.name, inputs, out, force=force)
    done: list[Applied] = []
    try:
        for applied in apply(plugin.title, transform, planned, device=device, seed=seed):
            done.append(applied)
    finally:  # not inside the loop: a progress bar takes what is printed while it shows
        for applied in done:
            report(str(applied))
    seconds = sum(applied.seconds for applied in done)
    report(f"{len(done)} image{'s' * (len(done) != 1)} in {1000 * seconds:.1f} ms")


def build_transform(
    plugin: Plugin, arguments: Mapping[str, Any], device: torch.device
) -> InputTransform:
    """Build a defense to apply to images.

    Raises:
        ConfigError: It is no input transform, or an argument is refused.
        PluginError: It cannot be built.
    """
    defense = plugin.build(**arguments)
    if not isinstance(defense, InputTransform):
        raise ConfigError(
            f"{plugin.title} is no input transform: it makes no images",
            hint="apply one that changes the image, such as jpeg",
        )
    check_defense_facts(plugin.title, defense)
    return defense.eval().requires_grad_(False).to(device)


def inputs_in(places: Sequence[Path]) -> Iterator[Input]:
    """Yield image files; folders stand for the images in them, and none comes twice.

    Raises:
        DataError: A place is missing, or a folder has no image.
    """
    for file in dict.fromkeys(file for place in places for file in _files(place)):
        yield Input(file.name, str(file), partial(read_upright, file), file)


def images_of(dataset: Dataset) -> Iterator[Input]:
    """Yield the first images of a dataset, 16 at most."""
    for index, name in enumerate(dataset.ids[:MOST_OF_DATASET]):
        whole = Path(name)
        shown = whole.with_suffix("") if whole.suffix.lower() in SUFFIXES else whole
        flat = _NO_FILE_NAME.sub("_", shown.as_posix())
        title = f"{name} of {dataset.name}"
        yield Input(flat, title, partial(_stored, dataset, index))


def _stored(dataset: Dataset, index: int) -> Image.Image:
    images, _ = dataset.load([index])
    return to_picture(images[0])


def plan(name: str, inputs: Sequence[Input], out: Path, *, force: bool) -> dict[Path, Input]:
    """Return each file to write with what it is made of: `photo-jpeg.png` of `photo.png`.

    Args:
        name: Of the defense.
        inputs: Images.
        out: Folder of the files to write.
        force: Whether a file that is there may be written over.

    Raises:
        ConfigError: There is no image; or two images, or an image and a file that is there, have
            the same place.
    """
    if not inputs:
        raise ConfigError(
            "there is no image to transform", hint="name image files or folders, or a --dataset"
        )
    planned: dict[Path, Input] = {}
    files = {each.file.resolve() for each in inputs if each.file}
    for each in inputs:
        stem = Path(each.name).stem if each.file else each.name
        target = out / f"{stem}-{_NO_FILE_NAME.sub('_', name)}.png"
        if target in planned:
            raise ConfigError(
                f"{planned[target].title} and {each.title} would both become {target}",
                hint="rename one, or give each a call and a folder of its own",
            )
        if target.resolve() in files:
            raise ConfigError(f"{target} is an input", hint="choose another folder with -o")
        planned[target] = each
    there = [target for target in planned if os.path.lexists(target)]
    if there and not force:
        more = f", and {len(there) - 1} more" if len(there) > 1 else ""
        raise ConfigError(
            f"{there[0]} exists already{more}", hint="--force overwrites; or another folder with -o"
        )
    return planned


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        if not path.exists():
            raise DataError(
                f"image {path} does not exist",
                hint="a relative path starts at the current folder",
            )
        return [path]
    try:
        inside = sorted(path.iterdir())
    except OSError as error:
        raise DataError(f"folder {path} cannot be read: {error.strerror}") from error
    found = [f for f in inside if f.suffix.lower() in SUFFIXES and f.name[0] != "." and f.is_file()]
    if not found:
        raise DataError(
            f"folder {path} has no images", hint=f"known endings: {' '.join(sorted(SUFFIXES))}"
        )
    return found


def apply(
    title: str,
    transform: InputTransform,
    planned: Mapping[Path, Input],
    *,
    device: torch.device,
    seed: int,
) -> Iterator[Applied]:
    """Transform one image after the other and write the results, rounded to 8 bits, as PNG.

    A stochastic transform draws by the seed and the image's name alone.

    Args:
        title: What messages call the transform.
        transform: From `build_transform`.
        planned: From `plan`.
        device: Where to compute.
        seed: Seed of a stochastic transform.

    Raises:
        SuperdefError: An image cannot be read, transformed or written; the message says which,
            and how many are done.
        InterruptError: The user stopped it.
    """
    done, total = 0, len(planned)
    with progress_bar(total) as bar:
        for target, each in planned.items():
            bar.show(f"transforming {each.name}", f"{done}/{total} images")
            try:
                applied = _apply_one(title, transform, each, target, device, seed)
            except SuperdefError as error:
                message = f"{error.message}; {done} of {total} images were written"
                raise type(error)(message, hint=error.hint) from error
            except KeyboardInterrupt as error:
                raise InterruptError(f"stopped; {done} of {total} images were written") from error
            done += 1
            bar.advance(1)
            yield applied


def _apply_one(
    title: str,
    transform: InputTransform,
    given: Input,
    target: Path,
    device: torch.device,
    seed: int,
) -> Applied:
    picture = given.read()
    random = Random(seed, "apply", torch.tensor([image_id(given.name)], device=device))
    owner = f"{title} on {given.title} ({picture.width}x{picture.height})"
    run = partial(_run, owner, transform, random, device)
    pixels, overlap = picture.width * picture.height, overlap_of(transform)
    if overlap is not None and pixels > AT_ONCE:
        cut = bands(*picture.size, side=TILE, overlap=overlap, align=transform.align)
        return _in_tiles(owner, run, picture, cut, target)
    if pixels > MOST_WHOLE:
        raise DataError(
            f"image {given.title} has {pixels:,} pixels, {title} takes {MOST_WHOLE:,} at once",
            hint="shrink it first",
        )
    out, seconds = run(to_tensor(picture))
    write_atomically(target, to_png(out[0]))
    return Applied(target, picture.size, (out.shape[-1], out.shape[-2]), seconds)


def _run(
    owner: str, transform: InputTransform, random: Random, device: torch.device, x: Tensor
) -> tuple[Tensor, float]:
    """Return what a transform makes of `(1, C, H, W)`, and the seconds that it took."""
    x = x.to(device)
    start = time.perf_counter()
    hint = "leave this image out, or give the defense other arguments"
    with calling(owner, PluginError, verb="failed:", hint=hint), torch.no_grad():
        out = plain_tensor(owner, transform(x, random))
        if device.type == "cuda":
            torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    if not bool(torch.isfinite(out).all()):
        raise PluginError(f"{owner} returned no tensor of finite numbers")
    check_defended(owner, out, 1, x.shape[1])
    return out, seconds


def _in_tiles(
    owner: str,
    run: Callable[[Tensor], tuple[Tensor, float]],
    picture: Image.Image,
    cut: Iterator[list[Tile]],
    target: Path,
) -> Applied:
    """Transform and write an image one row of tiles after the other."""
    seconds, scale, writer = 0.0, 0, None
    with written_whole(target) as file:
        for tiles in cut:
            parts = []
            for tile in tiles:
                x = to_tensor(picture.crop(tile.seen))
                out, taken = run(x)
                found, seconds = scale_of(owner, x, out), seconds + taken
                scale = scale or found
                if found != scale:
                    raise PluginError(f"{owner} enlarged a tile by {found}, others by {scale}")
                parts.append(to_pixels(tile.keep(out, scale)[0]))
            rows = np.concatenate(parts, axis=1)
            writer = writer or PngRows(file, rows.shape[1], scale * picture.height, rows.shape[2])
            writer.write(rows)
        if writer is not None:
            writer.close()
    return Applied(target, picture.size, (scale * picture.width, scale * picture.height), seconds)
