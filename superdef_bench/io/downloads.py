"""What is downloaded: by an encrypted way only, and not without saying what is known of it."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from superdef_bench.core.errors import DataError
from superdef_bench.io.notes import note

_HERE = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Download:
    """A file that is not there yet.

    Attributes:
        name: What it is, such as `cifar10` or `weights of resnet18`.
        address: Where it comes from; empty where only the library that gets it knows.
        target: Where it will lie.
        size: Its bytes, where they are known for sure.
    """

    name: str
    address: str
    target: Path
    size: int | None = None

    def __str__(self) -> str:
        if not self.address:
            return (
                f"{self.name} to {self.target}, unless it is there: the library that gets it does "
                "not say from where"
            )
        size = "size not known beforehand" if self.size is None else f"{self.size:,} bytes"
        return f"{self.name} from {self.address} ({size}) to {self.target}"


def in_order(downloads: Sequence[Download]) -> Iterator[str]:
    """Yield a line for each download, in the order in which they come."""
    for number, download in enumerate(downloads, start=1):
        yield f"{number}. {'then ' if number > 1 else ''}{download}"


def announce(downloads: Sequence[Download]) -> None:
    """Say on stderr what is about to be downloaded, before anything is."""
    if downloads:
        note("to be downloaded before anything starts, in this order:")
    for line in in_order(downloads):
        note(line)


def is_encrypted(url: str) -> bool:
    """Return whether an address is https, or of this machine, where nobody is in between."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _HERE)


def check_address(what: str, url: str) -> None:
    """Raise DataError unless `is_encrypted(url)`: http can be changed on its way.

    Args:
        what: What is to come from there, for the message.
        url: The address.
    """
    if not is_encrypted(url):
        raise DataError(
            f"{what} would come from {url!r}, which is not https",
            hint="name an https address, or put the file into the data folder by hand",
        )


def say_unpinned(what: str, file: Path | None = None) -> None:
    """Say on stderr that no hash of a download was known beforehand, and which it has.

    Args:
        what: What was downloaded.
        file: Where it is; None where the library that got it does not say.
    """
    found = ""
    if file is not None:
        with file.open("rb") as opened:
            found = f"; sha256 {hashlib.file_digest(opened, 'sha256').hexdigest()}"
    note(f"{what} is not pinned: no hash was known beforehand{found}")
