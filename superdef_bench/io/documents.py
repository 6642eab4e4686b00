"""TOML and JSON of a bounded size, depth and range of numbers, so that all else may trust them."""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from superdef_bench.core.threats import LARGEST_INTEGER
from superdef_bench.io.files import read_file

_DEEPEST = 50  # tables and lists inside each other; what we write has fewer than ten
_HALF = re.compile(r"\\ud[89a-f]", re.IGNORECASE)  # one of two that JSON writes a character as
_BARE = re.compile(r"[A-Za-z0-9_-]+")  # a key of TOML that needs no quotes
_SHOWN = 40  # characters of a value in a message
# A key of so many parts: reading one takes the square of their number.
_DOTTED = re.compile(rf"""(?<![\w"'-])(?:[\w"'-]+[ \t]*\.[ \t]*){{{_DEEPEST}}}""")


def read_toml(path: Path, *, most: int) -> dict[str, Any]:
    """Return the table in a TOML file.

    Args:
        path: The file.
        most: Bytes that it may have.

    Raises:
        OSError: See `read_file`.
        ValueError: It is no TOML, too deep, or has a number of more than 64 bits.
    """
    text = read_file(path, most=most).decode("utf-8")
    if _DOTTED.search(text):
        raise _too_deep()
    try:
        found = tomllib.loads(text)
    except RecursionError:
        raise _too_deep() from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:  # Python reads no number of more than 4,300 digits
        raise _too_long() from None
    check_document(found)
    return found


def to_toml(document: Mapping[str, Mapping[str, Any]]) -> str:
    """Return tables as TOML; what stands in them is on a line each, however deep it is.

    Args:
        document: Tables by name, of text, numbers, truth values, lists and tables.

    Raises:
        ValueError: Something in them has no form in TOML.
    """
    tables = (
        "\n".join([f"[{toml_key(name)}]", *(f"{toml_key(k)} = {_toml(v)}" for k, v in t.items())])
        for name, t in document.items()
    )
    return "\n\n".join(tables) + "\n"


def _toml(value: Any) -> str:
    """Return a value as TOML writes it on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{"".join(map(_toml_character, value))}"'
    if isinstance(value, int) or (isinstance(value, float) and isfinite(value)):
        return repr(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{toml_key(key)} = {_toml(v)}" for key, v in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    raise ValueError(f"{shown(value)} has no form in TOML")


def _toml_character(char: str) -> str:
    """Return a character of a text; what hides or ends it is spelt out."""
    if char in '"\\':
        return f"\\{char}"
    if "\ud800" <= char <= "\udfff":
        raise ValueError("half a character has no form in TOML")
    return char if char.isprintable() else f"\\U{ord(char):08x}"


def parse_json(content: bytes) -> Any:
    """Return the value in the bytes of a JSON file.

    Raises:
        ValueError: It is no JSON, too deep, names a key twice, or has a number that is none or of
            more than 64 bits.
    """
    text = content.decode("utf-8")
    try:
        found = json.loads(text, parse_constant=_refuse, object_pairs_hook=_without_repetition)
    except RecursionError:
        raise _too_deep() from None
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        raise (error if isinstance(error, _RefusedError) else _too_long()) from None
    check_document(found)
    if _HALF.search(text):
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("a text has half a character") from None
    return found


def check_document(document: Any) -> None:
    """Raise ValueError for a value that is too deep, or a number of more than 64 bits."""
    level = [document]
    for _ in range(_DEEPEST):
        below: list[Any] = []
        for value in level:
            if isinstance(value, Mapping):
                below += value.values()
            elif isinstance(value, list | tuple):
                below += value
            elif isinstance(value, int) and abs(value) > LARGEST_INTEGER:
                raise _too_long()
        if not below:
            return
        level = below
    raise _too_deep()


def shown(value: object) -> str:
    """Return a value for a message, cut short; one that cannot be written at all by its kind."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, a list without end
        return f"a {type(value).__name__} too long to show"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def toml_key(name: str) -> str:
    """Return a name as it stands before `=` in TOML: in quotes unless it is bare."""
    return name if _BARE.fullmatch(name) else _toml(name)


class _RefusedError(ValueError):
    """JSON that not all readers would take for the same."""


def _refuse(constant: str) -> None:
    raise _RefusedError(f"{constant} is no number")


def _without_repetition(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _RefusedError(f"{twice!r} stands twice")
    return found


def _too_deep() -> ValueError:
    return ValueError(f"more than {_DEEPEST} tables or lists stand inside each other")


def _too_long() -> ValueError:
    return ValueError("a whole number has more than 64 bits")
