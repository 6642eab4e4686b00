"""The inside of a built-in plugin, for tests of what it does not offer by name."""

import importlib
from typing import Any

from superdef_bench.core.loader import load_plugins


def plugin_module(path: str) -> Any:
    """Return a module of a built-in plugin, such as `attacks.foolbox.bridge`."""
    load_plugins()
    kind, _, name = path.partition(".")
    return importlib.import_module(f"plugins/{kind}/{name}")
