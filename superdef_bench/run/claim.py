"""A run folder that one process writes: locked, swept, and known again before every write."""

import fcntl
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from superdef_bench.core.errors import DataError
from superdef_bench.io.files import sweep, write_error
from superdef_bench.io.notes import note

LOCK = ".lock"
RECORDS, BANK = "records", "bank"
_HOLDER = re.compile(r"(\d+) on (.+) since (\d{4}-\d{2}-\d{2} \d{2}:\d{2})\n")


class Claim:
    """The run folder that this process writes.

    The folder and its records are held open: a new folder in the place of one that was removed
    has another number as long as the old one is open.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: dict[Path, int] = {}
        for path in (folder, folder / RECORDS):
            try:
                self._held[path] = os.open(path, os.O_RDONLY)
            except OSError as error:
                raise write_error(path, error) from error

    def check(self) -> None:
        """Raise DataError unless the folder is where it was, and is the same one."""
        for path, handle in self._held.items():
            held = os.fstat(handle)
            try:
                there = path.stat()
            except OSError:
                there = None
            if there is None or (there.st_dev, there.st_ino) != (held.st_dev, held.st_ino):
                raise _gone(self.folder, path, removed=held.st_nlink == 0)

    def close(self) -> None:
        """Let the folder go."""
        for handle in self._held.values():
            os.close(handle)


@contextmanager
def claim(folder: Path) -> Iterator[Claim]:
    """Hold a run folder as its only writer; it is made, and what killed writes left is swept.

    Raises:
        DataError: Another process writes it, or it cannot be written; or an error in the block
            came of its being gone.
    """
    try:
        (folder / RECORDS).mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise write_error(folder, error) from error
    try:
        if _take(lock, folder):
            sweep([folder, folder / RECORDS, *(folder / BANK).glob("*")])
        claimed = Claim(folder)
        try:
            yield claimed
        except DataError:
            claimed.check()  # where it is gone, that is why
            raise
        finally:
            claimed.close()
            _say(lock, "")
    finally:
        os.close(lock)


def _take(lock: int, folder: Path) -> bool:
    """Lock a folder, until the process ends in whatever way; False where there are no locks."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise DataError(
            f"run folder {folder} is used by {_holder(lock)}",
            hint="wait until it ends, or choose another folder with -o",
        ) from error
    except OSError as error:
        why = f"its file system has no locks ({error.strerror})"
        note(f"{folder}: {why}: let no other run write there")
        return False
    now = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    _say(lock, f"{os.getpid()} on {socket.gethostname()} since {now}\n")
    return True


def _say(lock: int, text: str) -> None:
    """Write who holds a lock; it holds as well where the disk has no room for that."""
    with suppress(OSError):
        os.ftruncate(lock, 0)
        os.pwrite(lock, text.encode(), 0)


def _holder(lock: int) -> str:
    said = _HOLDER.fullmatch(os.pread(lock, 1000, 0).decode(errors="replace"))
    return "another process" if said is None else f"process {said[0].strip()}"


def _gone(folder: Path, path: Path, *, removed: bool) -> DataError:
    what = f"run folder {folder}" if path == folder else f"folder {path}"
    how = "was removed" if removed else "was renamed or replaced"
    then = "run the same command again" if removed else "give it its name back and run it again"
    return DataError(f"{what} {how} while the run wrote to it: there are no results", hint=then)
