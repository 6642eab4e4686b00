"""Command-line flags for the keyword arguments of a function."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, get_type_hints

from superdef_bench.errors import ConfigError
from superdef_bench.suggest import did_you_mean

_RESERVED = {"task", "data", "out", "device", "resume"}


def parse_flags(function: Callable[..., Any], words: Sequence[str], owner: str) -> dict[str, Any]:
    """Return the keyword arguments that `--name value` or `--name=value` words mean.

    Args:
        function: Its keyword arguments with a default are the flags.
        words: What stands on the command line.
        owner: Who takes the flags, for messages.

    Raises:
        ConfigError: A flag is unknown, lacks its value, or has one of the wrong type.
    """
    types = get_type_hints(function)
    known = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in _RESERVED and parameter.default is not parameter.empty
    ]
    flags = [f"--{name.replace('_', '-')}" for name in known]
    found: dict[str, Any] = {}
    queue = list(words)
    while queue:
        word, has_value, value = queue.pop(0).partition("=")
        name = word.removeprefix("--").replace("-", "_")
        if not word.startswith("--") or name not in known:
            raise ConfigError(f"{owner} has no flag {word!r}", hint=did_you_mean(word, flags))
        if types[name] is bool and not has_value:
            found[name] = True
            continue
        if not has_value and not queue:
            raise ConfigError(f"flag {word} of {owner} needs a value")
        found[name] = _convert(word, value if has_value else queue.pop(0), types[name])
    return found


def _convert(flag: str, text: str, kind: type) -> Any:
    if kind is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        if kind in (int, float, str):
            return kind(text)
    except ValueError as error:
        raise ConfigError(f"flag {flag} is {text!r}", hint=f"give it a {kind.__name__}") from error
    raise ConfigError(f"flag {flag} is {text!r}", hint=f"give it a {kind.__name__}")
