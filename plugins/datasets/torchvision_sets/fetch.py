"""Open a data set of torchvision; what goes wrong is one line."""

import hashlib
import io
import re
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.error import URLError

from superdef_bench import DataError, Download

T = TypeVar("T")
_SILENCE = 60.0  # seconds without a byte before a download counts as failed


@dataclass(frozen=True)
class Archive:
    """A file that torchvision downloads.

    Args:
        address: Where it comes from; its last part is the name of the file.
        md5: What torchvision checks it by.
        size: Its bytes, where they are known.
    """

    address: str
    md5: str
    size: int | None = None

    @property
    def name(self) -> str:
        return self.address.rsplit("/", 1)[-1]

    def __str__(self) -> str:
        return self.address if self.size is None else f"{self.address} ({self.size:,} bytes)"


@dataclass(frozen=True)
class Source:
    """What a data set is on disk.

    Args:
        name: Name in messages.
        folder: Where its archives lie.
        archives: What is downloaded.
        unpacked: What is unpacked from them, each with its MD5, or nothing where none is known.
    """

    name: str
    folder: Path
    archives: Sequence[Archive]
    unpacked: Mapping[Path, str]

    @property
    def hint(self) -> str:
        return (
            f"get {', '.join(map(str, self.archives))} by hand into {self.folder}, "
            "or name another data folder with --data-dir"
        )

    @property
    def downloads(self) -> list[Download]:
        """The archives that `fetch` would download."""
        if self.is_unpacked() and not self.bad_file():
            return []
        absent = [a for a in self.archives if not _has(self.folder / a.name, a.md5)]
        return [Download(self.name, a.address, self.folder / a.name, a.size) for a in absent]

    @property
    def remains(self) -> str:
        """What to delete so that all is unpacked again."""
        places = (file.relative_to(self.folder).parts[0] for file in self.unpacked)
        return " and ".join(str(self.folder / place) for place in dict.fromkeys(places))

    def bad_archive(self) -> str:
        """Return what is wrong with the first archive that is not what it should be."""
        for archive in self.archives:
            file = self.folder / archive.name
            if not file.is_file() or _has(file, archive.md5):
                continue
            with file.open("rb") as opened:
                page = opened.read(512).lstrip().lower().startswith((b"<!doctype", b"<html"))
            if page:
                return f"{file} is a web page (HTML), not the archive: a wrong MD5"
            return f"{file} is damaged: its MD5 is {_md5(file)}, not {archive.md5}"
        return ""

    def bad_file(self) -> str:
        """Return what is wrong with the first unpacked file that is; nothing if none is there."""
        if not self.is_unpacked():
            return ""
        for file, md5 in self.unpacked.items():
            if not file.exists():
                return f"{file} is missing"
            if md5 and not _has(file, md5):
                return f"{file} is damaged: a wrong MD5"
        return ""

    def is_unpacked(self) -> bool:
        """Return whether anything was unpacked, be it damaged."""
        return any(file.exists() for file in self.unpacked)

    def has_archives(self) -> bool:
        return all((self.folder / archive.name).is_file() for archive in self.archives)


def fetch(source: Source, make: Callable[[bool], T], *, download: bool) -> T:
    """Return what `make(False)` builds from disk, else what `make(True)` downloads and builds.

    Archives that are there are unpacked without a download.

    Raises:
        DataError: The data is not there and cannot be had, or it is damaged.
    """
    try:
        return make(False)
    except Exception as error:  # what torchvision raises for absent and for damaged data varies
        absent = error
    if not download and not (source.has_archives() and not source.bad_archive()):
        raise _absent(source, absent) from absent
    try:
        with _download():
            return make(True)
    except Exception as error:
        raise _explained(source, error) from error


def _absent(source: Source, error: Exception) -> DataError:
    hint, wrong = source.hint, source.bad_archive() or source.bad_file()
    if source.is_unpacked():
        hint = f"delete {source.remains}, then {hint}"
        wrong = wrong or _line(error)
    return DataError(
        f"{source.name} in {source.folder} is damaged: {wrong}"
        if wrong
        else f"{source.name} is not in {source.folder}",
        hint=f"set download = true, or {hint}",
    )


def _explained(source: Source, error: Exception) -> DataError:
    reason = _line(error)
    # MNIST tells of its mirrors in a RuntimeError.
    offline = isinstance(error, URLError | ConnectionError | TimeoutError)
    offline = offline or reason.startswith("Error downloading")
    wrong = source.bad_archive() or source.bad_file()
    if offline:
        also = f"; {wrong}" if wrong else ""
        return DataError(
            f"{source.name} cannot be downloaded to {source.folder}: {reason}{also}",
            hint=source.hint,
        )
    if source.bad_archive():
        return DataError(
            f"{source.name}: {wrong}", hint=f"delete it and try again, or {source.hint}"
        )
    full = isinstance(error, OSError) and not isinstance(error, FileNotFoundError)
    if source.is_unpacked() and not full:
        return DataError(
            f"{source.name} in {source.folder} is damaged: {wrong or reason}",
            hint=f"delete {source.remains}, and run again",
        )
    return DataError(
        f"{source.name} cannot be stored in {source.folder}: {reason}", hint=source.hint
    )


def _line(error: Exception) -> str:
    return " ".join(re.sub(r"<urlopen error (.*?)>", r"\1", str(error)).split())


def _has(file: Path, md5: str) -> bool:
    return file.is_file() and _md5(file) == md5


def _md5(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


@contextmanager
def _download() -> Iterator[None]:
    """Give up on a silent server; draw torchvision's bar on a terminal only."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SILENCE)
    try:
        with nullcontext() if sys.stderr.isatty() else redirect_stderr(io.StringIO()):
            yield
    finally:
        socket.setdefaulttimeout(before)
