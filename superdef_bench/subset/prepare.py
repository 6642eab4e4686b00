"""Prepare a subset: so many images of each class, for training, validation and test."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from superdef_bench.core.errors import DataError
from superdef_bench.core.types import Dataset
from superdef_bench.io.pixels import to_picture, to_pixels
from superdef_bench.io.progress import progress_bar
from superdef_bench.subset.draw import Pool, draw
from superdef_bench.subset.files import PARTS, Arrays, check_free, write_prepared
from superdef_bench.subset.source import AT_ONCE, Source, groups_of, open_source, pool_of
from superdef_bench.subset.wish import Wish


@dataclass(frozen=True)
class Done:
    """A subset that was written.

    Attributes:
        name: Name in tables.
        passed_over: Classes before the last one taken that have too few images.
        images: How many each part has.
        shape: `(H, W, C)` of an image.
        files: What was written.
    """

    name: str
    passed_over: Sequence[str]
    images: Mapping[str, int]
    shape: tuple[int, ...]
    files: Sequence[Path]


def prepare(words: str, wish: Wish, out: Path, *, force: bool) -> Done:
    """Draw a subset of a dataset and write it to a folder.

    Args:
        words: Name of a dataset plugin, or a table as in a config.
        wish: What is drawn.
        out: Folder to write to.
        force: Whether it may be one that is not empty.

    Raises:
        ConfigError: The words name no dataset, a class is unknown, or the folder is not empty.
        DataError: Images are missing, too few, or not square; or the folder cannot be written.
    """
    check_free(out, force=force)
    source = open_source(words)
    pool = pool_of(source.train)
    test = None if source.is_one_split else pool_of(source.test)
    short = _short(pool, test, wish.counts)
    classes = wish.chosen(source.train, short)
    arrays = _read(source, classes, _places(source, pool, test, classes, wish), wish.size)
    facts = _facts(source, classes, wish, arrays)
    over = [source.train.class_names[n] for n in sorted(short) if n < classes[-1]]
    facts["passed_over"] = over if wish.classes else []
    return Done(
        facts["name"],
        facts["passed_over"],
        facts["images_in"],
        arrays.images.shape[1:],
        write_prepared(out, arrays, facts),
    )


def _short(pool: Pool, test: Pool | None, counts: Mapping[str, int]) -> Mapping[int, str]:
    """Return the classes that have too few images, with what they have.

    Args:
        pool: What training and validation images are drawn from.
        test: What test images are drawn from; None for the same.
        counts: Images of each class by part.
    """
    needed = counts["train"] + counts["validation"] + (0 if test else counts["test"])
    short: dict[int, str] = {}
    for where, least in ((pool, needed), *([(test, counts["test"])] if test else [])):
        has = Counter(where.labels)
        for number in range(len(pool.class_names)):
            if has[number] < least:
                told = f"{has[number]} in {where.title}, wanted {least}"
                short.setdefault(number, told)
    return short


def _places(
    source: Source, pool: Pool, test: Pool | None, classes: Sequence[int], wish: Wish
) -> Mapping[str, Sequence[int]]:
    """Return the places of the drawn images of each part in the split that it comes from.

    Test images come first: where both splits have a group of the same name, it is theirs.
    """
    counts = wish.counts
    if test is None:
        wanted = {part: counts[part] for part in ("test", "validation", "train")}
        return draw(pool, classes, wanted, wish.seed)
    tested = draw(test, classes, {"test": counts["test"]}, wish.seed)
    both_say = groups_of(source.train) and groups_of(source.test)
    taken = {test.groups[place] for place in tested["test"]} if both_say else set()
    wanted = {part: counts[part] for part in ("validation", "train")}
    return {**tested, **draw(pool, classes, wanted, wish.seed, taken=taken)}


def _read(
    source: Source, classes: Sequence[int], places: Mapping[str, Sequence[int]], size: int
) -> Arrays:
    """Return the images of a subset with all that is known of each.

    Args:
        source: Where they are from.
        classes: Numbers of its classes, in the order of those of the subset.
        places: Of the images of each part.
        size: Height and width in pixels; 0 keeps them.

    Raises:
        DataError: An image cannot be read or resized, or they differ in size.
    """
    images, labels, splits, ids, groups = [], [], [], [], []
    numbers = {label: number for number, label in enumerate(classes)}
    with progress_bar(sum(map(len, places.values()))) as bar:
        for part in PARTS:
            dataset = source.of(part)
            of_images = groups_of(dataset) or dataset.ids
            for start in range(0, len(places[part]), AT_ONCE):
                batch = places[part][start : start + AT_ONCE]
                x, y = dataset.load(batch)
                images += [_pixels(image, size, dataset) for image in x]
                labels += [numbers[label] for label in y.tolist()]
                ids += [dataset.ids[place] for place in batch]
                groups += [of_images[place] for place in batch]
                splits += [part] * len(batch)
                bar.show(f"reading {dataset.name}, {part}", f"{len(images)} images")
                bar.advance(len(batch))
    if len({image.shape for image in images}) > 1:
        raise DataError(
            f"images of {source.train.name} differ in size", hint="make them alike with --size"
        )
    return Arrays(
        images=np.stack(images),
        labels=np.array(labels, np.int64),
        splits=np.array(splits),
        ids=np.array(ids),
        groups=np.array(groups) if any(groups_of(source.of(part)) for part in PARTS) else None,
    )


def _pixels(image: Tensor, size: int, dataset: Dataset) -> np.ndarray:
    """Return an image `(C, H, W)` in [0, 1] as uint8 `(size, size, C)`, resized by bicubic.

    Raises:
        DataError: It is neither grey nor RGB, or would lose its proportions.
    """
    channels, height, width = image.shape
    if channels not in (1, 3):
        raise DataError(
            f"images of {dataset.name} have {channels} channels", hint="1 and 3 can be prepared"
        )
    if not size or (height, width) == (size, size):
        return to_pixels(image)
    if height != width:
        raise DataError(
            f"an image of {dataset.name} has {width}x{height} pixels and is not square",
            hint="cut out squares with the dataset's arguments, or keep the size with --size 0",
        )
    # On 8 bits, as datasets resize their files: whole numbers, the same on every machine.
    picture = to_picture(image).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(picture).reshape(size, size, channels)


def _facts(source: Source, classes: Sequence[int], wish: Wish, arrays: Arrays) -> dict[str, Any]:
    """Return what the card says of a subset, beside the file of its arrays."""
    train, test = source.train, source.test
    splits = {dataset.split or "all": dataset.sha256 for dataset in (train, test)}
    how = (
        f"all parts are drawn from the one split {train.split or 'all'}"
        if source.is_one_split
        else f"train and validation are drawn from split {train.split}, test from {test.split}"
    )
    return {
        "name": f"{train.name} ({len(classes)} classes)",
        "source": {"plugin": source.plugin, "name": train.name, "sha256": splits},
        "class_names": [train.class_names[label] for label in classes],
        "per_class": dict(wish.counts),
        "images_in": {part: int((arrays.splits == part).sum()) for part in PARTS},
        "size": wish.size,
        "shape": list(arrays.images.shape[1:]),
        "seed": wish.seed,
        "drawn": f"{how}, of each class in an order that the seed decides",
        "groups": "the source gives none"
        if arrays.groups is None
        else "kept together: the images of one are all in the same part",
    }
