"""Mistakes of a config, told together, each with the file and the line that it stands in."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

from superdef_bench.core.errors import ConfigError, MistakesError

Place = tuple[str, ...]  # keys from the top of the document

_STRING = r'"""(?:[^\\]|\\.)*?"""+' + r"|'''.*?'''+" + r'|"(?:[^"\\\n]|\\.)*"' + r"|'[^'\n]*'"
_TOKEN = re.compile(rf"(?P<skip>{_STRING}|\#[^\n]*)|[\[\]{{}}\n]", re.DOTALL)
_KEY = r"""(?:[\w-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_KEYS = rf"[ \t]*{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*[ \t]*"
_STATEMENT = re.compile(rf"[ \t]*(?:\[\[?(?P<table>{_KEYS})\]|(?P<key>{_KEYS})=)")


def lines_of(text: str) -> dict[Place, int]:
    """Return the line of every table and key of a TOML document, by its place.

    What stands inside a value, as the keys of an inline table, is in the line where its key is.

    Args:
        text: The document; of one that is no TOML some places may be missing.
    """
    found: dict[Place, int] = {}
    table: Place = ()
    for line, start in _statements(text):
        statement = _STATEMENT.match(text, start)
        if statement is None:
            continue
        if statement["table"]:
            place = table = _place(statement["table"])
        else:
            place = (*table, *_place(statement["key"]))
        for depth in range(1, len(place) + 1):
            found.setdefault(place[:depth], line)
    return found


def _statements(text: str) -> Iterator[tuple[int, int]]:
    """Yield line and offset where a line begins that is not inside of a value."""
    line, depth = 1, 0
    yield 1, 0
    for token in _TOKEN.finditer(text):
        word = token[0]
        if token["skip"]:
            line += word.count("\n")
        elif word == "\n":
            line += 1
            if depth == 0:
                yield line, token.end()
        else:
            depth += 1 if word in "[{" else -1


def _place(keys: str) -> Place:
    """Return the parts of a dotted key, quotes taken off."""
    place: list[str] = []
    with suppress(tomllib.TOMLDecodeError):
        inner: Any = tomllib.loads(f"{keys} = 0")
        while isinstance(inner, Mapping):
            [(key, inner)] = inner.items()
            place.append(key)
    return tuple(place)


@dataclass(frozen=True)
class Document:
    """Where the parts of a config stand.

    Attributes:
        name: Of the benchmark.
        file: Its TOML file, where it has one.
        replaced: What the caller has put in place of what the file says.
    """

    name: str
    file: Path | None = None
    replaced: frozenset[Place] = frozenset()

    @cached_property
    def _lines(self) -> dict[Place, int]:
        # Read only once something is wrong, and then it was read before.
        with suppress(OSError, ValueError):
            return lines_of(self.file.read_text(encoding="utf-8")) if self.file else {}
        return {}

    def line(self, place: Place) -> int:
        """Return the line of a key or a row, 0 where the file has none."""
        return 0 if place in self.replaced else self._lines.get(place, 0)

    def located(self, error: ConfigError, place: Place) -> ConfigError:
        """Return an error that says where its cause stands."""
        line = self.line(place)
        if line:
            where = f"{self.file}, line {line}"
        elif len(place) > 1 and place[0] in ("attacks", "defenses"):
            where = f"{self.name}, row {place[1]!r}"  # of the command line, or of a preset
        elif place in self.replaced:
            where = f"{self.name}, {place[-1]}"
        else:
            where = str(self.file or self.name)
        return ConfigError(f"{where}: {error.message}", hint=error.hint)


@dataclass
class Mistakes:
    """What was found wrong so far."""

    document: Document
    _found: dict[str, tuple[int, ConfigError]] = field(default_factory=dict)

    def at(self, *place: str) -> "_Kept":
        """Return a block whose ConfigError is kept, as one of a key or a row, and not raised."""
        return _Kept(self, place)

    def add(self, error: ConfigError, place: Place) -> None:
        """Keep a mistake; the same one at the same place is told once."""
        told = self.document.located(error, place)
        self._found.setdefault(told.message, (self.document.line(place), told))

    def __bool__(self) -> bool:
        return bool(self._found)

    def settle(self) -> None:
        """Raise what was found, in the order of the file; nothing if nothing was.

        Raises:
            ConfigError: Something is wrong.
        """
        errors = [error for _, error in sorted(self._found.values(), key=lambda found: found[0])]
        if errors:
            raise errors[0] if len(errors) == 1 else MistakesError(errors)


# A class, not a generator: by the bool of its `__exit__` a type checker knows that it may swallow.
@dataclass(frozen=True)
class _Kept:
    mistakes: Mistakes
    place: Place

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if isinstance(error, ConfigError):
            self.mistakes.add(error, self.place)
        return isinstance(error, ConfigError)
