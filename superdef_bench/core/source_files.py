"""Python files that are loaded from where they stand, and may import what stands beside them.

A folder without `__init__.py` is a shelf: its files and packages find each other by plain names, as
they do where the folder is on Python's path. It is not put there, so two shelves with a `helper.py`
each keep their own, and nothing on them hides what another shelf or an installed library imports.

A module is called after its place: `my_plugins/mine`. Python's own names have no slash.
"""

import builtins
import importlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from superdef_bench.core.shipped import shipped

OWN = "python:"  # what names begin with that stand for code of the user
_NEVER_BESIDE = {*sys.stdlib_module_names, "superdef_bench"}

_shelves: dict[str, Path] = {}  # by the name that their modules begin with


def load_source(path: Path) -> ModuleType:
    """Return the module of a Python file, or of a folder with `__init__.py`; it runs once.

    Raises:
        BaseException: Whatever its code raises.
    """
    path = path.resolve()
    folder = _shelf_of(path)
    name = f"{_name_of(folder)}/{'.'.join(path.relative_to(folder).with_suffix('').parts)}"
    if name in sys.modules:
        return sys.modules[name]
    if path.parent != folder:
        return importlib.import_module(name)  # its package first
    spec = _spec(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs, so that its dataclasses find their module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def package_of(path: Path) -> Path:
    """Return the folder of the outermost package that a file is part of, or the file."""
    folder = _shelf_of(path)
    return path if path.parent == folder else folder / path.relative_to(folder).parts[0]


def beside(file: Path, module: str) -> Path | None:
    """Return the file or folder beside a loaded file that it means by `import module`.

    None for the standard library and for what is no file of the shelf. A file is not beside itself:
    a `timm.py`, or a file of a package `timm`, that imports timm means the library.
    """
    folder, top = _shelf_of(file), module.partition(".")[0]
    if top in _NEVER_BESIDE or folder not in _shelves.values() or _is_built_in(folder):
        return None
    place, single = folder / top, folder / f"{top}.py"
    if (place / "__init__.py").is_file():
        own = file.is_relative_to(place) and _is_installed(top)
        return None if own else place
    if single.is_file():
        return None if single == file else single
    return place if place.is_dir() and not _is_installed(top) else None


def _is_installed(top: str) -> bool:
    spec = importlib.util.find_spec(top)
    return spec is not None and spec.origin is not None


def _is_built_in(folder: Path) -> bool:
    return folder.is_relative_to(shipped("plugins"))


def _shelf_of(path: Path) -> Path:
    folder = path.parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


def _name_of(folder: Path) -> str:
    """Return what modules of a shelf begin with: as much of its path as tells it from others."""
    for name, known in _shelves.items():
        if known == folder:
            return name
    inside = shipped("plugins")
    parts = [part.replace(".", "_") for part in folder.parts]
    if _is_built_in(folder):
        parts = ["plugins", *folder.relative_to(inside).parts]
    names = ["/".join(parts[-count:]) for count in range(1, len(parts) + 1)]
    name = names[-1] if _is_built_in(folder) else next(n for n in names if n not in _shelves)
    _shelves[name] = folder
    return name


def _spec(name: str, path: Path) -> ModuleSpec | None:
    """Return how the file or folder at `path` is loaded; None where there is none."""
    inside = path / "__init__.py"
    file = inside if inside.is_file() else path if path.suffix == ".py" else Path(f"{path}.py")
    if file.is_file():
        search = [str(path)] if file == inside else None
        loader = _Loader(name, str(file))
        return importlib.util.spec_from_file_location(
            name, file, loader=loader, submodule_search_locations=search
        )
    if not path.is_dir():
        return None
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = [str(path)]
    return spec


class _Finder(MetaPathFinder):
    """Finds modules whose names begin with a shelf."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        shelf, _, dotted = fullname.rpartition("/")
        folder = _shelves.get(shelf)
        return _spec(fullname, folder.joinpath(*dotted.split("."))) if folder else None


class _Loader(SourceFileLoader):
    """Gives a module an `import` of its own, which looks beside its file first."""

    def exec_module(self, module: ModuleType) -> None:
        own = partial(_import, module.__name__.rpartition("/")[0], Path(self.path))
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": own}
        super().exec_module(module)


def _import(
    shelf: str,
    file: Path,
    name: str,
    globals: Mapping[str, Any] | None = None,  # noqa: A002  # the language calls them so
    locals: Mapping[str, Any] | None = None,  # noqa: A002
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> ModuleType:
    if not level and beside(file, name):
        name = f"{shelf}/{name}"
    return builtins.__import__(name, globals, locals, fromlist, level)


sys.meta_path.insert(
    0, _Finder()
)  # others would find the parts of a package, and load them plainly
