"""Load plugins from three sources and build what they offer, by name."""

import functools
import importlib.metadata
import importlib.util
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args

import pluggy

from superdef_bench import hookspecs
from superdef_bench.arguments import check_keywords
from superdef_bench.errors import ConfigError, PluginError, SuperdefError
from superdef_bench.fingerprint import fingerprint
from superdef_bench.suggest import did_you_mean

Kind = Literal["attack", "defense", "model", "dataset", "recipe"]
KINDS: tuple[Kind, ...] = get_args(Kind)

GROUP = "superdef_bench"
DIRECTORIES_VARIABLE = "SUPERDEF_BENCH_PLUGINS_DIR"
_NAMESPACE = "superdef_bench_plugins"


@dataclass(frozen=True)
class Plugin:
    """One named thing that a plugin offers.

    Attributes:
        factory: Builds it; its keyword arguments are what a config may set.
        source: `built-in`, the folder it came from, or its distribution and version.
        file: Source file, or the folder of a plugin that has several.
    """

    kind: Kind
    name: str
    factory: Callable[..., Any]
    source: str
    file: Path

    @property
    def summary(self) -> str:
        """First line of the documentation."""
        return (inspect.getdoc(self.factory) or "").split("\n")[0]

    @property
    def defaults(self) -> dict[str, Any]:
        """Arguments that have a default, with it."""
        parameters = inspect.signature(self.factory).parameters.values()
        return {p.name: p.default for p in parameters if p.default is not p.empty}

    @property
    def title(self) -> str:
        """Kind and name, as messages call it."""
        return f"{self.kind} {self.name!r}"

    @property
    def needs_arguments(self) -> bool:
        """Whether it cannot be built without arguments."""
        try:
            self.check_arguments({})
        except ConfigError:
            return True
        return False

    def check_arguments(self, arguments: Mapping[str, Any]) -> None:
        """Raise ConfigError for an argument that the factory does not take, or lacks."""
        check_keywords(self.factory, arguments, self.title)

    def build(self, **arguments: Any) -> Any:
        """Call the factory.

        Raises:
            ConfigError: An argument is unknown, missing or refused.
            PluginError: The factory fails in any other way.
        """
        self.check_arguments(arguments)
        try:
            return self.factory(**arguments)
        except SuperdefError:
            raise
        except ValueError as error:
            raise ConfigError(f"{self.title}: {error}") from error
        except Exception as error:
            reason = (str(error).splitlines() or [""])[0][:200]
            raise PluginError(
                f"{self.title} could not be built: {type(error).__name__}: {reason}",
                hint=f"it comes from {self.source}",
            ) from error


@dataclass
class Registry:
    """All plugins by kind and name, and the distributions that failed to load."""

    plugins: dict[Kind, dict[str, Plugin]] = field(default_factory=lambda: {k: {} for k in KINDS})
    broken: dict[str, str] = field(default_factory=dict)

    def get(self, kind: Kind, name: str) -> Plugin:
        """Return a plugin.

        Raises:
            ConfigError: There is none of that name.
        """
        known = self.plugins[kind]
        if name not in known:
            more = f"superdef-bench list {kind}; plugins of your own: --plugins-dir"
            several = "give each name an option of its own" if "," in name else ""
            hint = several or did_you_mean(name, known, more=more)
            raise ConfigError(f"unknown {kind} {name!r}", hint=hint)
        return known[name]

    def add(self, plugin: Plugin) -> None:
        other = self.plugins[plugin.kind].get(plugin.name)
        if other:
            raise PluginError(
                f"{plugin.kind} {plugin.name!r} is claimed twice: by {other.file.name} "
                f"({other.source}) and by {plugin.file.name} ({plugin.source})",
                hint="rename one of them",
            )
        self.plugins[plugin.kind][plugin.name] = plugin

    def __iter__(self) -> Iterator[Plugin]:
        for kind in KINDS:
            yield from (self.plugins[kind][name] for name in sorted(self.plugins[kind]))


def builtin_directory() -> Path:
    """Return the folder of the built-in plugins, of a wheel or of the repository."""
    package = Path(__file__).parent
    shipped = package / "_plugins"
    return shipped if shipped.is_dir() else package.parent / "plugins"


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


def _import(path: Path, name: str) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    file = path / "__init__.py" if path.is_dir() else path
    search = [str(path)] if path.is_dir() else None
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=search)
    if spec is None or spec.loader is None:
        raise PluginError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs, so that its dataclasses find their module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if not isinstance(error, Exception):
            raise
        raise PluginError(
            f"plugin {path} could not be loaded: {type(error).__name__}: {error}",
            hint="mend the file, or take it out of the folder",
        ) from error
    return module


def _directories(directories: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    yield builtin_directory(), "built-in"
    variable = os.environ.get(DIRECTORIES_VARIABLE, "")
    named = [*map(Path, filter(None, variable.split(os.pathsep))), *directories]
    for directory in dict.fromkeys(path.expanduser().resolve() for path in named):
        if not directory.is_dir():
            what = "is a file" if directory.exists() else "does not exist"
            raise ConfigError(
                f"plugins folder {directory} {what}",
                hint=f"--plugins-dir and {DIRECTORIES_VARIABLE} take folders of plugins",
            )
        yield directory, str(directory)


def load_plugins(directories: Sequence[Path] = ()) -> Registry:
    """Load the built-in plugins, those in `directories`, and those of installed distributions.

    Raises:
        ConfigError: A folder does not exist.
        PluginError: A file is broken, a hook is misspelt, or a name is claimed twice.
    """
    manager = pluggy.PluginManager("superdef_bench")
    manager.add_hookspecs(hookspecs)
    registry = Registry()
    origins: dict[str, tuple[str, Path]] = {}
    for number, (directory, source) in enumerate(_directories(directories)):
        for path in _files(directory):
            parts = path.relative_to(directory).with_suffix("").parts
            origin = f"folder_{fingerprint(source)[:16]}" if number else "builtin"
            name = ".".join((_NAMESPACE, origin, *parts))
            _register(manager, _import(path, name), name, path)
            origins[name] = (source, path)
    for entry in importlib.metadata.entry_points(group=GROUP):
        distribution = entry.dist
        owner = f"{distribution.name} {distribution.version}" if distribution else entry.value
        try:
            module = entry.load()
            _register(manager, module, owner, Path(module.__file__))
        except Exception as error:
            registry.broken[owner] = f"{type(error).__name__}: {error}"
            warnings.warn(f"plugins of {owner} are left out: {error}", stacklevel=2)
            continue
        origins[owner] = (owner, Path(module.__file__))
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


def _register(manager: pluggy.PluginManager, module: ModuleType, name: str, path: Path) -> None:
    try:
        manager.register(module, name=name)
    except (pluggy.PluginValidationError, ValueError) as error:
        raise PluginError(f"plugin {path}: {error}", hint="hooks take no arguments") from error
    if not manager.get_hookcallers(module):
        raise PluginError(
            f"plugin {path} registers nothing",
            hint="mark its register_... function with @hookimpl; a file that is no plugin "
            "has a name that starts with _",
        )


def _mapping(implementation: Any, file: Path) -> Mapping[str, Callable[..., Any]]:
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
