"""Files that are read within bounds, or appear whole or not at all; where downloads are kept."""

import errno
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from superdef_bench.core.errors import DataError

_GROWN = 2**20  # bytes at once of what a file has grown by since
_SPECIAL = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def file_size(path: Path, *, most: int) -> int:
    """Return the size in bytes of what is to be read: a file, and not too large a one.

    Args:
        path: File; what a link leads to counts.
        most: Bytes that it may have.

    Raises:
        OSError: It is missing, a folder, a pipe or a device, or larger. `strerror` says which.
    """
    return _size(path.stat(), path, most)


def read_file(path: Path, *, most: int) -> bytes:
    """Return the bytes of a file: nothing that never ends, and not more than `most` of them.

    Args:
        path: File; what a link leads to counts.
        most: Bytes that it may have.

    Raises:
        OSError: As `file_size`, or it cannot be read. `strerror` says why.
    """
    file_size(path, most=most)
    # Another file may stand there by now: a pipe is opened without waiting for who writes to it.
    with open(path, "rb", opener=_at_once) as file:
        size = _size(os.fstat(file.fileno()), path, most)
        content = file.read(size)
        while len(content) <= most and (more := file.read(_GROWN)):  # someone writes to it
            content += more
    if len(content) > most:
        raise _too_large(path, most)
    return content


def portable(path: Path) -> str:
    """Return a path as another machine can use it, without the folders of this one.

    What lies below the current folder is relative to it; of another absolute path the name stays.
    """
    if not path.is_absolute():
        return path.as_posix()
    here = Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else path.name


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _size(found: os.stat_result, path: Path, most: int) -> int:
    kind = stat.S_IFMT(found.st_mode)
    if kind == stat.S_IFDIR:
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if kind != stat.S_IFREG:
        what = _SPECIAL.get(kind, "something else")
        raise OSError(errno.EINVAL, f"it is {what}, not a file", str(path))
    if found.st_size > most:
        raise _too_large(path, most)
    return found.st_size


def _too_large(path: Path, most: int) -> OSError:
    shown = f"{most >> 20:,} MiB" if most >= 1 << 20 else f"{most:,} bytes"
    return OSError(errno.EFBIG, f"it is larger than {shown}", str(path))


# What `write_atomically` writes to: a hidden file, called after a file of ours and eight letters.
_TEMPORARY = re.compile(r"\..+\.(csv|json|md|parquet|png|safetensors|svg)\.[a-z0-9_]{8}")


def write_atomically(
    path: Path, content: bytes, *, durable: bool = True, parents: bool = True
) -> None:
    """Write `content` to a temporary file beside `path` and rename it.

    Args:
        path: File to write; its folder is made.
        content: All of it.
        durable: Wait for the disk, so that a power cut leaves no empty file.
        parents: Make the folders above that folder too.

    Raises:
        DataError: The folder cannot be written, or the disk is full.
    """
    with written_whole(path, durable=durable, parents=parents) as file:
        file.write(content)


@contextmanager
def written_whole(path: Path, *, durable: bool = True, parents: bool = True) -> Iterator[BinaryIO]:
    """Give a temporary file beside `path` that takes its name once it is complete.

    Args:
        path: File to write; its folder is made.
        durable: Wait for the disk, so that a power cut leaves no empty file.
        parents: Make the folders above that folder too.

    Raises:
        DataError: The folder cannot be written, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=parents, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise write_error(path, error) from error


def write_error(path: Path, error: OSError) -> DataError:
    """Return what to say of a file or folder that cannot be written."""
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return DataError(
            f"{path} cannot be written: a file stands where a folder should",
            hint="choose another folder with -o",
        )
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return DataError(
        f"{path} cannot be written: {error.strerror}",
        hint="make room and run the same command again: what is finished is kept"
        if full
        else "choose another folder with -o",
    )


def sweep(folders: Iterable[Path]) -> None:
    """Remove what killed writes left in folders, where no other process writes to them.

    Raises:
        DataError: It cannot be removed.
    """
    for folder in folders:
        for path in folder.glob(".*"):
            if _TEMPORARY.fullmatch(path.name) and path.is_file():
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    raise write_error(path, error) from error


DATA_VARIABLE = "SUPERDEF_BENCH_DATA_DIR"


def find_data(data: str) -> Path:
    """Return the place that `data` names, from the current folder, else in `data_directory`."""
    here = Path(data).expanduser()
    below = data_directory() / here
    return below if not here.exists() and below.exists() else here


def data_directory() -> Path:
    """Return the folder of downloaded data sets and zoo models.

    It is the `--data-dir` of the command line, else the variable `SUPERDEF_BENCH_DATA_DIR`, else
    `data` in the current folder. Where data lies is in no key and in no published file.
    """
    return Path(os.environ.get(DATA_VARIABLE) or "data").expanduser()
