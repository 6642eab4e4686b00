"""Keyword arguments of a plugin: checked, parsed from flags, listed for help."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from superdef_bench.core.errors import ConfigError, did_you_mean
from superdef_bench.core.threats import LARGEST_INTEGER

RESERVED: Set[str] = frozenset({"task", "data", "out", "device", "resume"})  # of every recipe
_NONE: Set[str] = frozenset()


def check_keywords(function: Callable[..., Any], given: Mapping[str, Any], owner: str) -> None:
    """Raise ConfigError unless `function` takes the arguments `given`.

    Args:
        function: A class or function; annotations of plain types, their unions and literals are
            held to, all others are left to it.
        given: Names and values.
        owner: Who takes them, for messages.
    """
    parameters = inspect.signature(function).parameters.values()
    named = [p for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    known = [p.name for p in named]
    hints = hints_of(function)
    for name, value in given.items():
        if name in known:
            check_type(f"{name!r} of {owner}", value, hints.get(name, Any))
        elif not any(p.kind is p.VAR_KEYWORD for p in parameters):
            raise ConfigError(f"{owner} takes no argument {name!r}", hint=did_you_mean(name, known))
    for parameter in named:
        if parameter.default is parameter.empty and parameter.name not in given:
            raise ConfigError(
                f"{owner} needs the argument {parameter.name!r}",
                hint=f'in a config: {{ plugin = "...", {parameter.name} = ... }}',
            )


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of the arguments of a function or class, as far as they resolve."""
    try:
        return get_type_hints(function.__init__ if isinstance(function, type) else function)  # type: ignore[misc]  # a class has one
    except (NameError, TypeError):  # names that only a checker sees
        return {}


def options_of(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the annotation itself."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def check_type(what: str, value: object, hint: Any) -> None:
    """Raise ConfigError unless `value` fits an annotation of plain types, unions and literals."""
    options = options_of(hint)
    if not any(_fits(value, option) for option in options):
        shown = " or ".join(_shown(option) for option in options if option is not type(None))
        raise ConfigError(f"{what} is {value!r}", hint=f"it takes {shown}")


def _fits(value: object, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if hint in (int, float):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if isinstance(value, int):
            return abs(value) <= LARGEST_INTEGER
        return hint is float and math.isfinite(value)
    if hint in (str, bool, type(None)):
        return isinstance(value, hint)
    return True


def _shown(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return ", ".join(map(repr, get_args(hint)))
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return names.get(hint, str(hint))


def settings(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the flags of a recipe's `train`, without dashes, and their defaults."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in RESERVED and parameter.default is not parameter.empty
    }


def parse_flags(
    function: Callable[..., Any], words: Sequence[str], owner: str, *, more: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the keyword arguments that `--name value` or `--name=value` words mean.

    Args:
        function: The train method of a recipe.
        words: What stands on the command line.
        owner: Who takes the flags, for messages.
        more: Flags that the command itself takes, for a hint.

    Raises:
        ConfigError: A flag is unknown, lacks its value, or has one of the wrong type.
    """
    found, others = split_flags(function, words, owner, reserved=RESERVED, more=more)
    if others:
        raise ConfigError(f"{owner} has no flag {others[0]!r}", hint="settings are --name value")
    return found


def split_flags(
    function: Callable[..., Any],
    words: Sequence[str],
    owner: str,
    *,
    reserved: Set[str] = _NONE,
    more: Sequence[str] = (),
) -> tuple[dict[str, Any], list[str]]:
    """Return the keyword arguments that flags mean, and the other words.

    Args:
        function: Its arguments that are not `reserved` are the flags.
        words: What stands on the command line.
        owner: Who takes the flags, for messages.
        reserved: Arguments that come from elsewhere.
        more: Flags that the command itself takes, for a hint.

    Raises:
        ConfigError: A flag is unknown, lacks its value, or has one of the wrong type.
    """
    parameters = inspect.signature(function).parameters.values()
    named = [p for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    hints = hints_of(function)
    known = {p.name: hints.get(p.name, str) for p in named if p.name not in reserved}
    flags = [f"--{name.replace('_', '-')}" for name in known]
    found: dict[str, Any] = {}
    others: list[str] = []
    queue = list(words)
    while queue:
        word, has_value, value = queue.pop(0).partition("=")
        if not word.startswith("-"):
            others.append(word + has_value + value)
            continue
        name = word.removeprefix("--").replace("-", "_")
        if not word.startswith("--") or name not in known:
            raise ConfigError(
                f"{owner} has no flag {word!r}", hint=did_you_mean(word, [*flags, *more])
            )
        if known[name] is bool and not has_value:
            found[name] = True
            continue
        if not has_value and not queue:
            raise ConfigError(f"flag {word} of {owner} needs a value")
        found[name] = _convert(word, value if has_value else queue.pop(0), known[name])
    return found, others


def _convert(flag: str, text: str, hint: Any) -> Any:
    options = options_of(hint)
    for option in options:
        if get_origin(option) is Literal:
            for value in get_args(option):
                if text == str(value):
                    return value
        elif option in (bool, type(None)):
            words = {"true": True, "false": False} if option is bool else {"none": None}
            if text.lower() in words:
                return words[text.lower()]
        elif option in (int, float, str):
            with suppress(ValueError):
                value = option(text)
                if option is not int or _fits(value, int):
                    return value
    shown = " or ".join("none" if o is type(None) else _shown(o) for o in options)
    raise ConfigError(f"flag {flag} is {text!r}", hint=f"it takes {shown}")


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
