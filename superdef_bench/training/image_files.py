"""The image files of a folder or of a zip, read one by one and within bounds."""

import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from lzma import LZMAError
from pathlib import Path, PurePosixPath

from superdef_bench.core.errors import DataError
from superdef_bench.io.files import read_file
from superdef_bench.io.pictures import MOST_BYTES, SUFFIXES

HINT = "--data takes a folder or a zip of photographs, or a dataset plugin; docs/training.md"

File = tuple[str, Callable[[], bytes]]

# A zip may unpack to so many times its size, or to 256 MiB: photographs are packed already, a
# bitmap of few colours gives ten.
_UNPACKED, _FREE = 20, 2**28


def image_files(place: Path) -> list[File]:
    """Return the name of each image in a folder or a zip, with what lies deeper, and its reader.

    Raises:
        DataError: There is neither, the zip is damaged, or it is small and unpacks to very much.
    """
    return list(_zipped(place) if place.is_file() else _below(place))


def read_image_file(place: Path, file: File) -> bytes:
    """Return the bytes of one of `image_files`.

    Raises:
        DataError: It cannot be read.
    """
    name, read = file
    try:
        return read()
    except (zipfile.BadZipFile, EOFError, zlib.error, LZMAError) as error:
        raise DataError(f"{place / name} is damaged", hint="get the zip again") from error
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise DataError(f"{place / name} cannot be read: {reason}") from error
    except (NotImplementedError, RuntimeError, ValueError) as error:  # a method, a password, a name
        raise DataError(
            f"{place / name} cannot be read: {error}", hint="unpack it into a folder"
        ) from error


def _is_image(name: str) -> bool:
    place = PurePosixPath(name)
    hidden = any(part.startswith((".", "__")) for part in place.parts)
    return place.suffix.lower() in SUFFIXES and not hidden


def _below(folder: Path) -> Iterator[File]:
    """Yield name and content of each image below a folder, in the order of their names."""
    if not folder.is_dir():
        raise DataError(f"training data {folder} does not exist", hint=HINT)
    names = sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())
    for name in filter(_is_image, names):
        yield name, partial(read_file, folder / name, most=MOST_BYTES)


def _zipped(file: Path) -> Iterator[File]:
    try:
        archive = zipfile.ZipFile(file)
    # What a zip says of itself may be damaged in ways that only its reader's own parts notice.
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        raise DataError(f"training data {file} is no zip: {error}", hint=HINT) from error
    names, packed = sorted(filter(_is_image, archive.namelist())), file.stat().st_size
    strange = next((name for name in names if not name.isprintable()), None)
    if strange is not None or any(archive.getinfo(n).compress_size > packed for n in names):
        what = "a member larger than itself" if strange is None else repr(strange)
        raise DataError(f"training data {file} is damaged: it lists {what}", hint=HINT)
    sizes = [archive.getinfo(name).file_size for name in names]  # reading stops there, too
    most = max(_FREE, _UNPACKED * packed)
    if sum(sizes) > most or max(sizes, default=0) > MOST_BYTES:
        raise DataError(
            f"training data {file} unpacks to {sum(sizes) >> 20:,} MiB",
            hint="unpack it into a folder, if it is what you expect",
        )
    for name in names:
        yield name, partial(archive.read, name)
