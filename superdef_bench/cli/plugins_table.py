"""The plugins that there are, as a table that fits 80 columns or as JSON."""

import inspect
import json

from superdef_bench.cli.output import write
from superdef_bench.cli.tables import print_table
from superdef_bench.core.arguments import settings
from superdef_bench.core.errors import ConfigError, did_you_mean
from superdef_bench.core.plugins import KINDS, Plugin, Registry
from superdef_bench.results.table import Table, plain_lines


def print_plugins(registry: Registry, kind: str, *, as_json: bool) -> None:
    """Print the plugins of a kind, or all."""
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
    rows = [[each.kind, each.name, each.place, each.summary] for each in plugins]
    head = ["kind", "name", "file", "what"]
    print_table(Table("plugins", "", head, plain_lines(rows)), unbroken=["name"], words=True)


def _arguments(plugin: Plugin) -> dict[str, object]:
    if plugin.kind == "recipe":
        return settings(plugin.build().train)
    parameters = inspect.signature(plugin.factory).parameters
    return {name: plugin.defaults.get(name, "required") for name in parameters}
