"""One named thing that a plugin offers, and all of them by kind and name."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from superdef_bench.core.arguments import check_keywords
from superdef_bench.core.calls import calling, reason
from superdef_bench.core.errors import ConfigError, PluginError, SuperdefError, did_you_mean
from superdef_bench.core.fingerprint import sources
from superdef_bench.core.shipped import shipped

Kind = Literal["attack", "defense", "model", "dataset", "recipe"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LIVE = "live:"  # before the name of what is no plugin but an object that a caller has in hand
BUILT_IN = "built-in"  # of a plugin's source


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
    def place(self) -> str:
        """Where its source stands: below the built-in plugins, in its folder, or installed."""
        inside = shipped("plugins")
        if self.file.is_relative_to(inside):
            return f"plugins/{self.file.relative_to(inside).as_posix()}"
        if self.file.is_relative_to(self.source):
            return str(self.file)
        return self.source

    @property
    def key_parts(self) -> Mapping[str, str]:
        """What keys say of it beside its arguments: sources, and versions of libraries."""
        return sources(self.file)

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
    def formerly(self) -> Mapping[str, Any]:
        """What results older than an argument ran with, where that is not its default."""
        said: Mapping[str, Any] = getattr(self.factory, "formerly", {})
        return said

    @property
    def title(self) -> str:
        """Kind and name, as messages call it."""
        return f"{self.kind} {self.name!r}"

    @property
    def needs_arguments(self) -> bool:
        """Whether it cannot be built without arguments."""
        if self.is_family:
            return True
        try:
            self.check_arguments({})
        except ConfigError:
            return True
        return False

    @property
    def is_family(self) -> bool:
        """Whether its name ends in a colon: what stands behind it picks one of many."""
        return self.name.endswith(":")

    def member(self, chosen: str) -> "Plugin":
        """Return one of a family: its factory takes the name and returns that one's factory.

        A factory with an attribute `file` says by it where its own source stands, and by `source`
        where that comes from; one with a mapping `given`, which arguments of its library the
        benchmark gives, and how.

        Raises:
            ConfigError: There is none of that name, or its library is not installed.
            PluginError: The family fails in any other way.
        """
        with calling(f"{self.kind} {self.name}{chosen}", PluginError):
            factory = self.factory(chosen)
        file = getattr(factory, "file", self.file)
        source = getattr(factory, "source", self.source)
        name = f"{self.name}{chosen}"
        return replace(self, name=name, factory=factory, source=source, file=file)

    def named_files(self, arguments: Mapping[str, Any]) -> list[Path]:
        """Return where the source stands that its arguments name.

        A factory that takes code has an attribute `named_files`, which takes the arguments.
        """
        named = getattr(self.factory, "named_files", None)
        return list(named(**arguments)) if named else []

    def check_arguments(self, arguments: Mapping[str, Any]) -> None:
        """Raise ConfigError for an argument that the factory does not take, or lacks."""
        given: Mapping[str, str] = getattr(self.factory, "given", {})
        for name in given.keys() & arguments.keys():
            raise ConfigError(f"{self.title} takes no argument {name!r}", hint=given[name])
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
            raise ConfigError(f"{self.title}: {reason(error, kind=False)}") from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plugin may raise anything, SystemExit too
            raise PluginError(
                f"{self.title} could not be built: {reason(error)}",
                hint=f"it comes from {self.source}",
            ) from error


@dataclass
class Registry:
    """All plugins by kind and name.

    Attributes:
        broken: The distributions that failed to load, and why.
        empty: Folders of plugins that have none.
    """

    plugins: dict[Kind, dict[str, Plugin]] = field(default_factory=lambda: {k: {} for k in KINDS})
    broken: dict[str, str] = field(default_factory=dict)
    empty: list[Path] = field(default_factory=list)

    def get(self, kind: Kind, name: str) -> Plugin:
        """Return a plugin.

        Raises:
            ConfigError: There is none of that name.
        """
        known = self.plugins[kind]
        if name.startswith(LIVE) and name not in known:
            raise ConfigError(
                f"{kind} {name!r} was made from a live object, which only its process has",
                hint="call evaluate_model there, or make it a plugin: superdef-bench new",
            )
        family, colon, chosen = name.partition(":")
        if colon and chosen and f"{family}:" in known:
            return known[f"{family}:"].member(chosen)
        if name not in known or known[name].is_family:
            more = f"superdef-bench list {kind}; plugins of your own: --plugins-dir"
            hint = did_you_mean(name, known, more=more)
            if name in known:
                hint = f"it is a family: write the name of one behind it, {name}NAME"
            elif "," in name:
                hint = "give each name an option of its own"
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

    def copy(self) -> "Registry":
        """Return one that has the same plugins, and can be given others."""
        plugins = {kind: dict(named) for kind, named in self.plugins.items()}
        return replace(self, plugins=plugins)

    def __iter__(self) -> Iterator[Plugin]:
        for kind in KINDS:
            yield from (self.plugins[kind][name] for name in sorted(self.plugins[kind]))
