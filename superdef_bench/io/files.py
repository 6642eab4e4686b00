"""Files that appear whole or not at all, and where downloads are kept."""

import errno
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

from superdef_bench.core.errors import DataError

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
    try:
        path.parent.mkdir(parents=parents, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
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
