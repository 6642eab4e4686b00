"""`python:` and a class of your own: `python:MODULE:NAME` or `python:path/to/file.py:NAME`."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

from torch import nn

from superdef_bench import ConfigError, hookimpl
from superdef_bench.nn import (
    as_network,
    check_sha256,
    fill,
    normalized,
    own_class,
    read_statistics,
    read_tensors,
    untrained,
)

_PLAIN = (str, int, float, bool, type(None))


def _around(
    *,
    weights: str = "",
    sha256: str = "",
    mean: list[float] | float | str = "",
    std: list[float] | float | str = "",
    name: str = "",
) -> None:
    """Only its arguments count: what every class takes beside its own.

    Args:
        weights: A state dict for it, as `checkpoint` reads them; empty leaves it as it is built.
        sha256: Hash that the file must have; not checked if empty.
        mean: What is subtracted from images in [0, 1], per channel.
        std: What they are divided by then; given with `mean`.
        name: What tables call it; the class's own name if empty.
    """


# Where a class takes one of these itself, it gets it, and the others mean nothing without it.
_GROUPS = (("weights", "sha256"), ("mean", "std"), ("name",))


def python_class(reference: str) -> Callable[..., nn.Module]:
    """A class of your own, or a function that returns a network: its arguments, and `weights`.

    Its random weights are those of seed 0. What it takes itself goes to it.

    Args:
        reference: `module:Name` or `path/to/file.py:Name`.

    Raises:
        ConfigError: There is none, or what it builds is no network.
        DataError: The weights are missing, damaged, code, or of another network.
    """
    target, file = own_class(reference)
    theirs = _parameters(target)
    groups = [group for group in _GROUPS if not any(argument in theirs for argument in group)]
    every = inspect.signature(_around).parameters
    ours = {argument: every[argument] for group in groups for argument in group}

    def build(**given: Any) -> nn.Module:
        around = {key: given.pop(key) for key in list(given) if key in ours}
        check_sha256(around.get("sha256", ""))
        mean, std = read_statistics(around.get("mean", ""), around.get("std", ""))
        network = as_network(untrained(target, **given), reference)
        if around.get("weights"):
            path = Path(around["weights"]).expanduser()
            fill(network, read_tensors(path, around.get("sha256", "")), path, reference)
        elif around.get("sha256"):
            raise ConfigError("sha256 is given, and no weights", hint="name their file: weights")
        return normalized(network, mean, std)

    rest = [p for p in theirs.values() if p.kind is p.VAR_KEYWORD]
    named = [p for p in theirs.values() if p.kind is not p.VAR_KEYWORD]
    hints = _hints(target)
    build.__doc__ = inspect.getdoc(target)
    build.__annotations__ = {
        **{argument: hints[argument] for argument in theirs if argument in hints},
        **{argument: get_type_hints(_around)[argument] for argument in ours},
    }
    signed = inspect.Signature([*named, *ours.values(), *rest])
    facts = {"__signature__": signed, "file": file, "source": str(file)}
    vars(build).update(facts)
    return build


def _parameters(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return what can be given by name, with defaults that stay the same from start to start."""
    if inspect.isclass(target) and target.__init__ is nn.Module.__init__:
        return {}
    found = {}
    for name, parameter in inspect.signature(target).parameters.items():
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            found[name] = parameter.replace(
                kind=parameter.KEYWORD_ONLY, default=_shown(parameter.default)
            )
        elif parameter.kind is parameter.VAR_KEYWORD:
            found[name] = parameter
    return found


def _shown(default: Any) -> Any:
    """Return a default, or its name where its text would have an address in it."""
    if default is inspect.Parameter.empty or isinstance(default, _PLAIN):
        return default
    if isinstance(default, list | tuple):
        return [_shown(each) for each in default]
    return str(getattr(default, "__qualname__", type(default).__qualname__))


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except (NameError, TypeError):  # names that only a checker sees
        return {}


@hookimpl
def register_models() -> dict[str, object]:
    return {"python:": python_class}
