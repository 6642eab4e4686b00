"""The plugins that there are, as a table that fits 80 columns or as JSON."""

import inspect
import json
from collections.abc import Sequence
from pathlib import Path

from superdef_bench.cli.output import write
from superdef_bench.cli.tables import print_table
from superdef_bench.core.arguments import settings
from superdef_bench.core.errors import ConfigError, did_you_mean
from superdef_bench.core.plugins import BUILT_IN, KINDS, Kind, Plugin, Registry
from superdef_bench.results.table import Table, plain_lines


def print_plugins(
    registry: Registry, kind: str, *, verbose: bool = False, as_json: bool = False
) -> None:
    """Print the plugins of a kind, or all: a table for each kind, a line for each plugin.

    Args:
        registry: The plugins.
        kind: Only these; all where empty.
        verbose: Whole summaries, and the file of each.
        as_json: Print JSON.

    Raises:
        ConfigError: There is no such kind.
    """
    singular = kind.removesuffix("s")
    if kind and singular not in KINDS:
        raise ConfigError(f"unknown kind {kind!r}", hint=did_you_mean(singular, KINDS))
    plugins = [plugin for plugin in registry if not kind or plugin.kind == singular]
    if as_json:
        listed = [
            {
                "kind": plugin.kind,
                "name": plugin.name,
                "source": plugin.source,
                "file": plugin.place,
                "summary": plugin.summary,
                "arguments": _arguments(plugin),
            }
            for plugin in plugins
        ]
        document = {"plugins": listed, "broken": registry.broken}
        write(json.dumps(document, indent=1, default=str) + "\n")
        return
    for each in KINDS:
        ours = [plugin for plugin in plugins if plugin.kind == each]
        if ours and verbose:
            _print_whole(each, ours)
        elif ours:
            _print_lines(each, ours)


def _print_lines(kind: Kind, plugins: Sequence[Plugin]) -> None:
    """Print a line for each; where some are not built in, also what they come from."""
    head, rows = ["name", "what"], [[each.name, each.summary] for each in plugins]
    if any(each.source != BUILT_IN for each in plugins):
        head = [*head, "from"]
        rows = [[*row, _origin(each)] for row, each in zip(rows, plugins, strict=True)]
    print_table(Table(kind, f"{kind}s", head, plain_lines(rows)), cut="what", words=True)


def _print_whole(kind: Kind, plugins: Sequence[Plugin]) -> None:
    rows = [[each.name, each.place, each.summary] for each in plugins]
    table = Table(kind, f"{kind}s", ["name", "file", "what"], plain_lines(rows))
    print_table(table, unbroken=["name"], words=True)


def _origin(plugin: Plugin) -> str:
    """Return the name of a folder, a distribution and its version, or nothing if built in."""
    if plugin.source == BUILT_IN:
        return ""
    return Path(plugin.source).name or plugin.source


def _arguments(plugin: Plugin) -> dict[str, object]:
    if plugin.kind == "recipe":
        return settings(plugin.build().train)
    parameters = inspect.signature(plugin.factory).parameters
    return {name: plugin.defaults.get(name, "required") for name in parameters}
