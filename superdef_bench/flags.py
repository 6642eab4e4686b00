"""The flags that a plugin's keyword arguments make, as help and settings files need them."""

import inspect
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from superdef_bench.arguments import RESERVED, check_type, hints_of, options_of
from superdef_bench.errors import ConfigError
from superdef_bench.suggest import did_you_mean

_NAMES = {int: "INTEGER", float: "FLOAT", str: "TEXT", bool: "true|false", type(None): "none"}


@dataclass(frozen=True)
class Flag:
    """A keyword argument as the command line offers it.

    Attributes:
        name: As in Python.
        takes: Kinds of values, or the values themselves; empty where the flag alone says all.
        default: `inspect.Parameter.empty` where it has to be given.
    """

    name: str
    takes: tuple[str, ...]
    default: Any

    @property
    def word(self) -> str:
        """The flag with its dashes."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty

    @property
    def shown_default(self) -> str:
        if self.required:
            return "required"
        if isinstance(self.default, bool) or self.default is None:
            return str(self.default).lower()
        return '""' if self.default == "" else str(self.default)


def flags_of(function: Callable[..., Any], *, reserved: Set[str] = frozenset()) -> list[Flag]:
    """Return the flags that `split_flags` takes for `function`, in the order of its arguments."""
    hints = hints_of(function)
    return [
        Flag(p.name, _taken(hints.get(p.name, str), p.default), p.default)
        for p in inspect.signature(function).parameters.values()
        if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD) and p.name not in reserved
    ]


def _taken(hint: Any, default: Any) -> tuple[str, ...]:
    if hint is bool:
        return ("=false",) if default is True else ()
    found: list[str] = []
    for option in options_of(hint):
        literal = get_origin(option) is Literal
        found += map(str, get_args(option)) if literal else [_NAMES.get(option, str(option))]
    return tuple(found)


def check_settings(train: Callable[..., Any], given: Mapping[str, Any], where: str) -> None:
    """Raise ConfigError for a setting that `train` does not take, or not with this type.

    Args:
        train: The method of a recipe.
        given: Names and values.
        where: The file they stand in, for messages.
    """
    hints, known = hints_of(train), [flag.name for flag in flags_of(train, reserved=RESERVED)]
    for name, value in given.items():
        if name not in known:
            raise ConfigError(f"unknown setting {name!r} in {where}", hint=_meant(name, known))
        check_type(f"{name!r} in {where}", value, hints.get(name, Any))


def _meant(name: str, known: Sequence[str]) -> str:
    underscored = name.lstrip("-").replace("-", "_")
    if underscored in known:
        return f"write {underscored}: names in a file have underscores"
    if name in RESERVED - {"task"}:
        return f"give it on the command line: --{name}"
    return did_you_mean(name, [*known, "data", "model", "device"])
