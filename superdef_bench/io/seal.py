"""JSON that carries the hash of what it says: a changed value is refused, a new layout is not."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from superdef_bench.core.clock import checking
from superdef_bench.core.errors import DataError
from superdef_bench.io.notes import note

SEAL = "sha256"
_HASH = re.compile("[0-9a-f]{64}")
_noted: set[Path] = set()


def digest(document: Mapping[str, Any]) -> str:
    """Return the sha256 of a document without its seal: keys sorted, no spaces, ASCII.

    Raises:
        ValueError: A number is not finite.
    """
    with checking():
        rest = {key: value for key, value in document.items() if key != SEAL}
        text = json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def seal(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document with the hash of what it says, in the place of its old one or second.

    Raises:
        ValueError: A number is not finite.
    """
    sealed = {SEAL: digest(document)}
    if SEAL in document:
        return {**document, **sealed}
    first = dict(list(document.items())[:1])
    return {**first, **sealed, **document}


def is_sealed(document: Mapping[str, Any], what: str, *, hint: str) -> bool:
    """Return whether a document carries a hash, which then is that of what it says.

    Args:
        document: As `documents.parse_json` returns it.
        what: The document, as messages call it.
        hint: What to do where it is damaged.

    Raises:
        DataError: It says something else than what its hash was made of, or a number is not finite.
    """
    try:
        now = digest(document)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{what} are damaged: {error}", hint=hint) from error
    if SEAL not in document:
        stray = [key for key, value in document.items() if _is_hash(value)]
        if stray:
            raise DataError(f"{what} are damaged: a hash stands under {stray[0]!r}", hint=hint)
        return False
    if document[SEAL] != now:
        raise DataError(f"{what} are damaged: they are not what their hash was made of", hint=hint)
    return True


def note_unsealed(file: Path) -> None:
    """Say once, on stderr, that nothing vouches for a file."""
    place = file.absolute()
    if place not in _noted:
        _noted.add(place)
        why = "an earlier version wrote it, and whether it was changed since cannot be told"
        note(f"{file} carries no hash: {why}")


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and _HASH.fullmatch(value) is not None
