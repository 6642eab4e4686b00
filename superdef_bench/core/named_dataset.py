"""A dataset as a command is told it: the name of a plugin, or a table as in a config."""

import tomllib
from typing import Any

from superdef_bench.core import loader
from superdef_bench.core.errors import ConfigError, did_you_mean

_TABLE = """write it as in a config: '{ plugin = "gtsrb", path = "data/gtsrb-32" }'"""


def named_dataset(data: str, where: str) -> tuple[str, dict[str, Any]] | None:
    """Return the dataset plugin that `data` means, and its arguments; None if it is no plugin.

    Args:
        data: Name of a plugin, or an inline table as in a config, such as
            `{ plugin = "gtsrb", path = "data/gtsrb-32" }`.
        where: What the command calls it, for messages.

    Raises:
        ConfigError: The table is none, or names no plugin.
    """
    known = loader.plugins().plugins["dataset"]
    if not data.lstrip().startswith("{"):
        return (data, {}) if data in known else None
    try:
        table, *more = tomllib.loads(f"data = {data}").values()
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} {data} is no table: {error}", hint=_TABLE) from error
    if more or not isinstance(table, dict) or not isinstance(table.get("plugin"), str):
        raise ConfigError(f"{where} {data} names no plugin", hint=_TABLE)
    name = table.pop("plugin")
    if name not in known:
        raise ConfigError(f"unknown dataset plugin {name!r}", hint=did_you_mean(name, known))
    return name, table
