"""A network that the user wrote: its class, by module and name, and what surrounds its weights."""

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from superdef_bench.core.calls import reason
from superdef_bench.core.errors import ConfigError, PluginError, did_you_mean
from superdef_bench.core.fingerprint import distributions
from superdef_bench.core.handover import HandOver
from superdef_bench.core.source_files import load_source, package_of
from superdef_bench.nn.pretrained import Normalized

_FORMS = "write python:MODULE:NAME or python:path/to/file.py:NAME"


def own_class(reference: str) -> tuple[Callable[..., Any], Path]:
    """Return a class or function of the user, and the file or package that it is part of.

    Its code is run. What it imports from beside its file is found there.

    Args:
        reference: `module:Name` or `path/to/file.py:Name`; both are looked for in the current
            folder first.

    Raises:
        ConfigError: There is no such file, module or name, or it is something else.
        PluginError: The code cannot be imported.
    """
    place, _, name = reference.rpartition(":")
    if not place or not name.isidentifier():
        raise ConfigError(f"'python:{reference}' names no class", hint=_FORMS)
    file = _file_of(place)
    with HandOver().to(f"python:{place}", PluginError, draws=True):
        module = _loaded(place, file)
    if not hasattr(module, name):
        raise ConfigError(f"{place} has no {name!r}", hint=did_you_mean(name, _offered(module)))
    found = getattr(module, name)
    if not (inspect.isclass(found) or inspect.isroutine(found)):
        raise ConfigError(
            f"{name} of {place} is a {type(found).__name__}, no class and no function",
            hint="name a class, or write a function that returns the network",
        )
    return found, package_of(file or Path(module.__file__ or place).resolve())


def _file_of(place: str) -> Path | None:
    """Return the file that is meant; None for a module of an installed library."""
    if place.endswith(".py") or re.search(r"[/\\]", place):
        file = Path(place).expanduser().resolve()
        if not file.is_file():
            what = "is a folder" if file.is_dir() else "does not exist"
            raise ConfigError(
                f"file {place} {what}", hint="a relative path starts at the current folder"
            )
        if file.suffix != ".py":
            raise ConfigError(f"file {place} is no Python file", hint=_FORMS)
        return file
    if not all(part.isidentifier() for part in place.split(".")):
        raise ConfigError(f"'python:{place}' names no module", hint=_FORMS)
    top = place.partition(".")[0]
    if top in sys.stdlib_module_names:
        raise ConfigError(f"module {place!r} is of Python itself", hint=_FORMS)
    installed = top in distributions()
    for folder in (Path.cwd(), *(() if installed else map(Path, sys.path))):
        path = folder.joinpath(*place.split("."))
        for file in (path / "__init__.py", path.parent / f"{path.name}.py"):
            if file.is_file():
                return file.resolve()
    if not installed:
        raise ConfigError(
            f"there is no module {place!r}",
            hint="it is looked for in the current folder, and among what is installed",
        )
    return None


def _loaded(place: str, file: Path | None) -> ModuleType:
    try:
        if file is None:
            return importlib.import_module(place)
        return load_source(file.parent if file.name == "__init__.py" else file)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # code of others may raise anything, SystemExit too
        if isinstance(error, ModuleNotFoundError) and error.name == place:
            raise ConfigError(f"there is no module {place!r}", hint=_FORMS) from error
        raise PluginError(
            f"{place} could not be loaded: {reason(error)}", hint=_line_of(error, place)
        ) from error


def _line_of(error: BaseException, place: str) -> str:
    """Return where the code of the user stopped."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f"mend line {error.lineno} of {Path(error.filename or place).name}"
    trace, found = error.__traceback__, ""
    while trace:
        file = Path(trace.tb_frame.f_code.co_filename)
        own = not {"site-packages", "dist-packages"} & set(file.parts)
        if own and trace.tb_frame.f_code.co_name == "<module>":
            found = f"mend line {trace.tb_lineno} of {file.name}"
        trace = trace.tb_next
    return found


def _offered(module: ModuleType) -> list[str]:
    own = [n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__]
    return [name for name in own if not name.startswith("_")]


def as_network(built: object, reference: str) -> nn.Module:
    """Return what a class or function of the user built; ConfigError if it is no network."""
    if isinstance(built, nn.Module):
        return built
    raise ConfigError(
        f"{reference} builds a {type(built).__name__}, no torch.nn.Module",
        hint="name a network's class, or a function that returns one",
    )


def check_sha256(sha256: str) -> None:
    """Raise ValueError unless an argument is a whole hash, or empty."""
    if not re.fullmatch(r"([0-9a-fA-F]{64})?", sha256):
        raise ValueError(f"sha256 is {sha256!r}, take 64 hexadecimal digits")


def read_statistics(
    mean: list[float] | float | str, std: list[float] | float | str
) -> tuple[list[float], list[float]]:
    """Return mean and deviation per channel as numbers.

    Args:
        mean: A list, or text such as `0.485 0.456 0.406`; one number for all; empty for none.
        std: Above 0; given with `mean`.

    Raises:
        ValueError: One is given alone, or is none of these.
    """
    centre, spread = _numbers("mean", mean), _numbers("std", std)
    if bool(centre) != bool(spread) or not all(value > 0 for value in spread):
        raise ValueError(f"mean is {mean!r} and std {std!r}, take both or none, std above 0")
    return centre, spread


def _numbers(name: str, value: list[float] | float | str) -> list[float]:
    given = value.replace(",", " ").split() if isinstance(value, str) else value
    if isinstance(given, int | float):
        given = [given]
    try:
        return [float(number) for number in given]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is {value!r}, take one number, or one per channel") from error


def normalized(network: nn.Module, mean: list[float], std: list[float]) -> nn.Module:
    """Return a network behind its normalisation, if it has one, in evaluation mode."""
    return (Normalized(network, mean, std) if mean else network).eval()
