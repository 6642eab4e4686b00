"""The two files of a prepared set: its arrays, and the card that says what they are."""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from superdef_bench.core.errors import ConfigError, DataError
from superdef_bench.io.documents import parse_json
from superdef_bench.io.files import read_file, write_atomically, write_error
from superdef_bench.io.seal import is_sealed, seal

PARTS = ("train", "validation", "test")
IMAGES, CARD = "images.npz", "card.json"
_FORMAT = 1
_MOST_CARD = 2**24  # bytes; it names every class
_MOST_IMAGES = 2**33  # bytes
_AGAIN = "prepare it again: superdef-bench data prepare DATASET -o DIR --force"
_HASH = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Arrays:
    """What a prepared set holds, an entry for each of its N images.

    Attributes:
        images: uint8 `(N, H, W, C)`.
        labels: int64 `(N,)`.
        splits: Which of `PARTS` each is in, text `(N,)`.
        ids: Names in the source, text `(N,)`; none stands twice in a split.
        groups: What each belongs to, text `(N,)`; None where the source does not say.
    """

    images: np.ndarray
    labels: np.ndarray
    splits: np.ndarray
    ids: np.ndarray
    groups: np.ndarray | None = None


@dataclass(frozen=True)
class PreparedSet:
    """A prepared set as it is read.

    Attributes:
        name: Name in tables.
        class_names: Name of each class.
        arrays: What it holds.
        sha256: Hash of the file of arrays.
    """

    name: str
    class_names: list[str]
    arrays: Arrays
    sha256: str


def check_free(out: Path, *, force: bool) -> None:
    """Raise ConfigError for a folder that has something in it, unless it may be written over.

    Raises:
        ConfigError: It is not empty, or a file.
        DataError: It cannot be looked into.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise ConfigError(f"{out} is a file", hint="choose another folder with -o")
    try:
        inside = next(out.iterdir(), None)
    except OSError as error:
        raise write_error(out, error) from error
    if inside is not None and not force:
        raise ConfigError(
            f"{out} is not empty: {inside.name} is in it",
            hint=f"--force writes {IMAGES} and {CARD} there; or another folder with -o",
        )


def write_prepared(out: Path, arrays: Arrays, facts: Mapping[str, Any]) -> list[Path]:
    """Write the arrays and their card; return both files.

    Each appears whole or not at all, the card last: arrays without their card are refused.

    Args:
        out: Folder; it is made.
        arrays: What the set holds.
        facts: What else the card says, among it `name` and `class_names`.

    Raises:
        DataError: The folder cannot be written.
    """
    named = {name: array for name, array in vars(arrays).items() if array is not None}
    stream = io.BytesIO()
    np.savez(stream, **named)  # not compressed: the same bytes whatever zlib is installed
    content = stream.getvalue()
    told = {"file": IMAGES, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    card = seal({"format": _FORMAT, **facts, "images": told})
    write_atomically(out / IMAGES, content)
    write_atomically(out / CARD, f"{json.dumps(card, indent=2)}\n".encode())
    return [out / IMAGES, out / CARD]


def read_prepared(folder: Path) -> PreparedSet:
    """Read a prepared set.

    Raises:
        DataError: It is missing or damaged, or its arrays are not those that its card names.
    """
    if not folder.is_dir():
        raise DataError(
            f"folder {folder} of a prepared set does not exist",
            hint="superdef-bench data prepare DATASET -o DIR writes one",
        )
    card, file = _read_card(folder / CARD), folder / IMAGES
    try:
        content = read_file(file, most=_MOST_IMAGES)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}", hint=_AGAIN) from error
    found, expected = hashlib.sha256(content).hexdigest(), card["images"]["sha256"]
    if found != expected:
        raise DataError(
            f"{file} has sha256 {found[:12]}, its card {CARD} says {expected[:12]}", hint=_AGAIN
        )
    try:
        arrays = _arrays(content)
        _check_arrays(arrays, len(card["class_names"]))
    # What numpy and zipfile raise for what is no archive, or no array, varies.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{file} holds no prepared set: {reason}", hint=_AGAIN) from error
    return PreparedSet(card["name"], card["class_names"], arrays, found)


def _read_card(file: Path) -> dict[str, Any]:
    try:
        card = parse_json(read_file(file, most=_MOST_CARD))
    except OSError as error:
        raise DataError(f"card {file} cannot be read: {error.strerror}", hint=_AGAIN) from error
    except ValueError as error:
        raise DataError(f"card {file} is damaged: {error}", hint=_AGAIN) from error
    if not isinstance(card, dict) or not is_sealed(card, f"the entries of {file}", hint=_AGAIN):
        raise DataError(f"card {file} is damaged: it carries no hash", hint=_AGAIN)
    images, names = card.get("images"), card.get("class_names")
    sha256 = images.get("sha256") if isinstance(images, dict) else None
    whole = (
        card.get("format") == _FORMAT
        and isinstance(card.get("name"), str)
        and isinstance(sha256, str)
        and _HASH.fullmatch(sha256)
        and isinstance(names, list)
        and all(isinstance(name, str) for name in names)
    )
    if not whole:
        raise DataError(f"card {file} is not of format {_FORMAT}", hint=_AGAIN)
    return card


def _arrays(content: bytes) -> Arrays:
    """Return the arrays in the bytes of an archive, without unpickling anything.

    Raises:
        Exception: It is none, or an array is missing or needs pickle.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if any(each.compress_type != zipfile.ZIP_STORED for each in archive.infolist()):
            raise ValueError("it is compressed")  # and might unpack to any size
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
        needed = {name: found[name] for name in ("images", "labels", "splits", "ids")}
        return Arrays(**needed, groups=found.get("groups"))


def _check_arrays(arrays: Arrays, classes: int) -> None:
    """Raise ValueError unless they are those of a prepared set."""
    for name, array in vars(arrays).items():
        if array is None:
            continue
        kind, dimensions = {"images": ("u1", 4), "labels": ("i8", 1)}.get(name, ("U", 1))
        right = array.dtype.kind == "U" if kind == "U" else array.dtype == np.dtype(kind)
        if not right or array.ndim != dimensions or len(array) != len(arrays.images):
            raise ValueError(f"its {name} are {array.dtype} {array.shape}")
    if not arrays.images.size or arrays.images.shape[-1] not in (1, 3):
        raise ValueError(f"its images are {arrays.images.shape}")
    if arrays.labels.min() < 0 or arrays.labels.max() >= classes:
        raise ValueError(f"it has labels that are none of {classes} classes")
    if strange := set(arrays.splits.tolist()) - set(PARTS):
        raise ValueError(f"it has a split {min(strange)[:40]!r}")
    names = list(zip(arrays.splits.tolist(), arrays.ids.tolist(), strict=True))
    if len(set(names)) < len(names):
        raise ValueError("an id stands twice in a split")
