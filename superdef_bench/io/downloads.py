"""What is downloaded: by an encrypted way only, and not without saying what is known of it."""

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

from superdef_bench.core.errors import DataError
from superdef_bench.io.notes import note

_HERE = ("127.0.0.1", "::1", "localhost")


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
