"""Errors that a user can act on: what went wrong, with which thing, what to do."""

import difflib
from collections.abc import Iterable, Sequence

from superdef_bench.core.visible import one_line, shortened


class SuperdefError(Exception):
    """An error shown as one line, with a `hint:` line where there is a remedy.

    Whatever names and texts of others are part of it, it is shown as `one_line` does, and cut
    where it is very long; `message` and `hint` stay as they were given.

    Args:
        message: What is wrong, and with which thing.
        hint: What to do.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint

    def __str__(self) -> str:
        message, hint = (shortened(one_line(text)) for text in (self.message, self.hint))
        return f"{message}\nhint: {hint}" if hint else message


class ConfigError(SuperdefError):
    """A config, an argument or a name that the benchmark cannot use."""


_TOLD = 10  # mistakes of one config, one below the other


class MistakesError(ConfigError):
    """Several mistakes of one config, each with its line and its hint.

    Args:
        errors: Two or more; as `message` and `hint` stand those of the first one.
    """

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        first, *others = errors
        super().__init__(f"{first.message}, and {len(others)} more", hint=first.hint)
        self.errors = tuple(errors)

    def __str__(self) -> str:
        shown = list(map(str, self.errors[:_TOLD]))
        if len(self.errors) > _TOLD:
            shown.append(f"{len(self.errors) - _TOLD} more mistakes")
        return "\nerror: ".join(shown)


class UnavailableError(SuperdefError):
    """A service that does not answer: what it was asked for has no result, good or bad."""


class PluginError(SuperdefError):
    """A plugin that cannot be loaded or built."""


class ContractError(SuperdefError):
    """A plugin that returned what its contract forbids."""


class CellError(SuperdefError):
    """An attack or a defense that failed: its cell gives no number, the others go on."""


class InterruptError(SuperdefError):
    """The user stopped a run; what is finished is on disk."""


class DataError(SuperdefError):
    """Missing, damaged or unusable data, weights or results."""


def did_you_mean(name: str, known: Iterable[str], *, more: str = "") -> str:
    """Return a hint with the nearest known name, or with the first twenty of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?" + (
            f" ({len(names)} available: {more})" if more else ""
        )
    shown = ", ".join(names[:20]) + (f", and {len(names) - 20} more" if len(names) > 20 else "")
    return (f"known: {shown}" if names else "there are none") + (f" ({more})" if more else "")
