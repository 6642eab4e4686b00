"""What a results file would have this machine run or read, beside what it is made of anyway.

The config of a results file is somebody else's: it chooses plugins that are installed here and
gives them arguments. An argument can name a program, an address, or a file that is none of the
data or weights that belong to the benchmark. Such a file is not run before its reader has seen it.
"""

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from superdef_bench.benchmark.choices import Choice, DefenseChoice
from superdef_bench.benchmark.config import Config
from superdef_bench.core.errors import ConfigError
from superdef_bench.core.plugins import Registry
from superdef_bench.core.shipped import shipped
from superdef_bench.core.visible import one_line, shortened
from superdef_bench.io.files import data_directory
from superdef_bench.nn.weights import SHIPPED
from superdef_bench.run.manifest import remembered_plugins

_PROGRAMS = {"torchscript": "a program"}  # plugins whose file is run
_CODE = re.compile(r"(python|module|exec):", re.IGNORECASE)
_ADDRESS = re.compile(r"file:|[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_NUMBERS = re.compile(r"[\d\s.,/e+-]+")  # 8/255 is a radius, and no folder
_FILES = ("file", "path")  # arguments that name a file even where the word is bare
_SHOWN = 80  # characters of a value
_LISTED = 3


def named_things(config: Config) -> list[str]:
    """Return the programs, addresses and files outside the data folder that a config names.

    Data below `data_directory()` or `data`, and shipped configs and weights, are no such files.
    """
    found = []
    for role, choice in _choices(config):
        if choice.plugin in _PROGRAMS:
            found.append(f"{role} is a plugin {choice.plugin}: it runs {_PROGRAMS[choice.plugin]}")
        elif _CODE.match(choice.plugin):
            found.append(f"{role} is {choice.plugin[:_SHOWN]!r}: code")
        for argument, text in _texts(choice.arguments):
            what = _kind(argument.rpartition(".")[2], text)
            if what:
                found.append(f"{role} has {argument} = {text[:_SHOWN]!r}: {what}")
    return [shortened(one_line(line)) for line in dict.fromkeys(found)]


def check_trusted(name: str, config: Config) -> None:
    """Raise ConfigError if a config names what its reader has to look at first.

    Args:
        name: Of the results that carry it.
        config: Theirs.
    """
    found = named_things(config)
    if found:
        more = f"; and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        things = "1 thing" if len(found) == 1 else f"{len(found)} things"
        raise ConfigError(
            f"{name} names {things} to look at first: {'; '.join(found[:_LISTED])}{more}",
            hint="look at them; --trust lists them all and goes on",
        )


def check_plugins(folder: Path, config: Config, registry: Registry) -> None:
    """Raise ConfigError if a plugin of a run is not here, and the run names where it was.

    Its code is not loaded for that: whoever made the run folder may have named any folder.

    Args:
        folder: Run folder.
        config: Its config.
        registry: The plugins that there are.
    """
    places = remembered_plugins(folder)
    known = {plugin.name for plugin in registry}
    lacking = [
        choice.plugin
        for _, choice in _choices(config)
        if choice.plugin not in known and f"{choice.plugin.partition(':')[0]}:" not in known
    ]
    if places and lacking:
        words = " ".join(f"--plugins-dir {shlex.quote(str(place))}" for place in places)
        raise ConfigError(
            f"run {folder} was made with a plugins folder: {lacking[0]!r} is not here",
            hint=f"{words} loads them; so does --trust, which runs their code",
        )


def _choices(config: Config) -> Iterator[tuple[str, Choice]]:
    """Yield every plugin that a config chooses, with what it is in words."""
    yield "the dataset", config.dataset
    yield "the classifier", config.model
    for source in config.sources:
        yield from _links(f"source {source.choice.name!r}", source.choice)
    for attack in config.attacks:
        yield f"attack {attack.name!r}", attack
    for defense in config.defenses:
        yield from _links(f"defense {defense.name!r}", defense)


def _links(role: str, choice: DefenseChoice) -> Iterator[tuple[str, Choice]]:
    yield role, choice
    for link in choice.chain:
        yield role, link


def _texts(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield the texts among arguments, however deep, each with where it stands."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(inner, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner, place)


def _kind(argument: str, text: str) -> str:
    """Return what a text names that is not of the benchmark, or nothing."""
    if _CODE.match(text):
        return "code"
    if argument == "token" and text:
        return "an environment variable whose value is sent"
    if _ADDRESS.match(text):
        return "an address"
    if _NUMBERS.fullmatch(text) or not _is_place(argument, text):
        return ""
    return "" if _is_of_the_benchmark(text) else "a place outside the data folder"


def _is_place(argument: str, text: str) -> bool:
    if re.search(r"[/\\]", text) or text.startswith("~") or text == "..":
        return True
    try:
        here = Path(text)
        return bool(text) and (here.is_file() or (argument in _FILES and here.exists()))
    except (OSError, ValueError):  # a text that can be no name of a file
        return False


def _is_of_the_benchmark(text: str) -> bool:
    """Return whether a place lies in a folder that holds data or what is shipped.

    A link that the user put into his data folder is his; a path that climbs is not followed.
    """
    if "\\" in text or "\0" in text or ".." in Path(text).parts:
        return False
    place = os.path.abspath(Path(text).expanduser())  # noqa: PTH100  # resolve() would follow links
    roots = (data_directory(), Path("data"), shipped("configs"), shipped("plugins"), SHIPPED)
    if any(Path(place).is_relative_to(os.path.abspath(root)) for root in roots):  # noqa: PTH100
        return True
    # What is not here is looked for among the shipped examples.
    shown = shipped("configs") / "examples" / text
    return not Path(place).exists() and shown.is_relative_to(shipped("configs")) and shown.exists()
