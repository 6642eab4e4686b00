"""Load plugins from three sources, and build what they offer by name."""

import functools
import importlib.metadata
import inspect
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import pluggy

from superdef_bench.core import hookspecs
from superdef_bench.core.calls import calling, reason
from superdef_bench.core.errors import ConfigError, PluginError, did_you_mean
from superdef_bench.core.plugins import BUILT_IN, KINDS, Plugin, Registry
from superdef_bench.core.shipped import shipped
from superdef_bench.core.source_files import load_source

if TYPE_CHECKING:
    from torch import nn

    from superdef_bench.core.types import Attack, Dataset, Defense

GROUP = "superdef_bench"
DIRECTORIES_VARIABLE = "SUPERDEF_BENCH_PLUGINS_DIR"
OWN_ONLY_VARIABLE = "SUPERDEF_BENCH_NO_THIRD_PARTY"  # set to anything but 0


def _files(directory: Path) -> Iterator[Path]:
    """Yield plugin files and folders: a folder without `__init__.py` is a shelf."""
    for path in sorted(directory.iterdir()):
        if path.name.startswith(("_", ".")):
            continue
        if path.is_dir():
            if (path / "__init__.py").exists():
                yield path
            else:
                yield from _files(path)
        elif path.suffix == ".py":
            yield path


def _import(path: Path) -> ModuleType:
    hint = "mend the file, or take it out of the folder"
    with calling(f"plugin {path}", PluginError, verb="could not be loaded:", hint=hint):
        return load_source(path)


def _named_directories() -> list[Path]:
    """Return the folders of plugins that the environment names."""
    variable = os.environ.get(DIRECTORIES_VARIABLE, "")
    return [Path(name) for name in variable.split(os.pathsep) if name]


def _own_only() -> bool:
    """Return whether the environment leaves out plugins of installed distributions."""
    return os.environ.get(OWN_ONLY_VARIABLE, "0") not in ("", "0")


def environment_options() -> list[str]:
    """Return the options of a command that say what the environment says of plugins."""
    options = [word for path in _named_directories() for word in ("--plugins-dir", str(path))]
    return [*options, *(["--no-third-party"] if _own_only() else [])]


def _directories(directories: Sequence[str | Path]) -> Iterator[tuple[Path, str]]:
    yield shipped("plugins"), BUILT_IN
    if isinstance(directories, str | Path):  # one alone, whose letters are no folders
        directories = [directories]
    named = [*_named_directories(), *map(Path, directories)]
    for directory in dict.fromkeys(path.expanduser().resolve() for path in named):
        if not directory.is_dir():
            what = "is a file" if directory.exists() else "does not exist"
            raise ConfigError(
                f"plugins folder {directory} {what}",
                hint=f"--plugins-dir and {DIRECTORIES_VARIABLE} take folders of plugins",
            )
        yield directory, str(directory)


def load_plugins(directories: Sequence[str | Path] = (), *, third_party: bool = True) -> Registry:
    """Load the built-in plugins, those in `directories`, and those of installed distributions.

    Args:
        directories: Folders of plugins, in a list.
        third_party: Whether to load those of installed distributions; not where the variable
            `SUPERDEF_BENCH_NO_THIRD_PARTY` says so.

    Raises:
        ConfigError: A folder does not exist.
        PluginError: A file is broken, a hook is misspelt, or a name is claimed twice.
    """
    from superdef_bench.core.handover import HandOver  # it imports torch, as plugins do

    manager = pluggy.PluginManager("superdef_bench")
    manager.add_hookspecs(hookspecs)
    registry = Registry()
    origins: dict[str, tuple[str, Path]] = {}
    for directory, source in _directories(directories):
        files = list(_files(directory))
        if not files:
            registry.empty.append(directory)
        for path in files:
            with HandOver().to(f"plugin {path}", PluginError, draws=True):
                module = _import(path)
            name = module.__name__
            # What offers nothing is there for its neighbours.
            helper = not any(word.startswith("register_") for word in vars(module))
            _register(manager, module, name, path, helper=helper)
            origins[name] = (source, path)
    third_party = third_party and not _own_only()
    for entry in importlib.metadata.entry_points(group=GROUP) if third_party else ():
        distribution = entry.dist
        owner = f"{distribution.name} {distribution.version}" if distribution else entry.value
        try:
            with HandOver().to(f"plugin {owner}", PluginError, draws=True):
                module = entry.load()
            path = Path(module.__file__)
            if path.name == "__init__.py":
                path = path.parent  # all of its sources
            _register(manager, module, owner, path)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plugin may raise anything, SystemExit too
            registry.broken[owner] = reason(error)
            warnings.warn(f"plugins of {owner} are left out: {reason(error)}", stacklevel=2)
            continue
        origins[owner] = (owner, path)
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        name = str(error).split("hook ")[-1].split("'")[1]
        file: Any = getattr(error.plugin, "__file__", error.plugin)
        raise PluginError(
            f"plugin {file}: there is no hook {name!r}", hint=did_you_mean(name, _hooks())
        ) from error
    for kind, hook in zip(KINDS, _hooks(), strict=True):
        for implementation in getattr(manager.hook, hook).get_hookimpls():
            source, file = origins[implementation.plugin_name]
            for name, factory in _mapping(implementation, file).items():
                registry.add(Plugin(kind, name, factory, source, file))
    return registry


def _hooks() -> list[str]:
    return [f"register_{kind}s" for kind in KINDS]


def _register(
    manager: pluggy.PluginManager,
    module: ModuleType,
    name: str,
    path: Path,
    *,
    helper: bool = False,
) -> None:
    try:
        manager.register(module, name=name)
    except (pluggy.PluginValidationError, ValueError) as error:
        raise PluginError(f"plugin {path}: {error}", hint="hooks take no arguments") from error
    if not helper and not manager.get_hookcallers(module):
        raise PluginError(
            f"plugin {path} registers nothing",
            hint="mark its register_... function with @hookimpl; a file that is no plugin "
            "has a name that starts with _",
        )


def _mapping(implementation: Any, file: Path) -> Mapping[str, Callable[..., Any]]:
    with calling(f"plugin {file}", PluginError, hint="mend its register_... function"):
        offered = implementation.function()
    if not isinstance(offered, Mapping) or not all(
        isinstance(name, str) and callable(factory) for name, factory in offered.items()
    ):
        raise PluginError(
            f"plugin {file}: {implementation.function.__name__} must return a mapping of names "
            f"to factories, not {type(offered).__name__}"
        )
    for name, factory in offered.items():
        if not (
            inspect.isclass(factory)
            or inspect.isroutine(factory)
            or isinstance(factory, functools.partial)
        ):
            owner = type(factory).__name__
            raise PluginError(
                f"plugin {file}: {name!r} is a {owner} that is built already",
                hint=f'write {{"{name}": {owner}}}, without brackets: a choice builds it',
            )
    return offered


_loaded: Registry | None = None


def use_plugins(directories: Sequence[str | Path] = (), *, third_party: bool = True) -> Registry:
    """Load the plugins for all later calls, as `load_plugins` does; return them.

    Args:
        directories: Folders of plugins, beside the built-in ones.
        third_party: Whether to load those of installed distributions too.

    Raises:
        ConfigError: A folder does not exist.
        PluginError: A file is broken, a hook is misspelt, or a name is claimed twice.
    """
    global _loaded
    _loaded = load_plugins(directories, third_party=third_party)
    return _loaded


def plugins() -> Registry:
    """Return the plugins, loaded on first use."""
    return _loaded or use_plugins()


def load_attack(name: str, /, **arguments: Any) -> "Attack":
    """Build an attack by name."""
    return cast("Attack", plugins().get("attack", name).build(**arguments))


def load_defense(name: str, /, **arguments: Any) -> "Defense":
    """Build a defense by name."""
    return cast("Defense", plugins().get("defense", name).build(**arguments))


def load_model(name: str, /, **arguments: Any) -> "nn.Module":
    """Build a classifier by name, in evaluation mode."""
    return cast("nn.Module", plugins().get("model", name).build(**arguments)).eval()


def load_dataset(name: str, /, **arguments: Any) -> "Dataset":
    """Build a dataset by name."""
    return cast("Dataset", plugins().get("dataset", name).build(**arguments))
