"""Modules that plugins were told to import from before the rooms: found where they are now."""

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

from superdef_bench.core.shipped import shipped

_PACKAGE = Path(__file__).parents[1]
RENAMED = {
    "superdef_bench.datasets": "superdef_bench.io.datasets",
    "superdef_bench.plugins": "superdef_bench.core.loader",
    "superdef_bench.pretrained": "superdef_bench.nn.pretrained",
    "superdef_bench.statistics": "superdef_bench.results.statistics",
    "superdef_bench.weights": "superdef_bench.nn.weights",
}
_ALIAS = "superdef_bench.autoattack"  # a file of the plugin that needs it now


class _Renamed:
    """Finder and loader in one: an old name gives the module itself, not a copy."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == _ALIAS:
            file = shipped("plugins") / "models/robustbench/autoattack_alias.py"
            return spec_from_file_location(name, file)
        if name not in RENAMED:
            return None
        _, *inner = RENAMED[name].split(".")
        origin = _PACKAGE.joinpath(*inner).with_suffix(".py")
        return ModuleSpec(name, self, origin=str(origin))  # type: ignore[arg-type]  # a loader by its methods: the base class takes long to import

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = importlib.import_module(RENAMED[module.__name__])


def find_renamed() -> None:
    """Let imports of the old names succeed, for plugins of others; nothing here uses them."""
    if not any(isinstance(finder, _Renamed) for finder in sys.meta_path):
        sys.meta_path.append(_Renamed())
