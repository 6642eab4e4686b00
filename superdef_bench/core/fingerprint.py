"""The one function that makes every key, and the digests that go into it.

A key holds everything that could change a number: sources, arguments, weights, library
versions, threat, seed and image. Device and batch size are left to the manifest.
"""

import ast
import hashlib
import importlib.metadata
import importlib.util
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superdef_bench.core.source_files import beside

if TYPE_CHECKING:
    from torch import Tensor

_PACKAGE = Path(__file__).parents[1]
_BLOCKS = ("body", "handlers", "cases", "orelse", "finalbody")  # of a statement
_TYPES_ONLY = "TYPE_CHECKING"


def fingerprint(*parts: Any) -> str:
    """Return the sha256 of `parts` as canonical JSON, in hexadecimal."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=repr)
    return hashlib.sha256(text.encode()).hexdigest()


def tensors(state: "Mapping[str, Tensor]") -> str:
    """Return the sha256 of named tensors: names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}/{tensor.dtype}/{tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(_byte()).numpy().tobytes())
    return digest.hexdigest()


def _byte() -> Any:
    import torch

    return torch.uint8


@cache
def sources(path: Path) -> Mapping[str, str]:
    """Return what a file runs through: sha256 of its sources, versions of its libraries.

    Follows imports within this package, within a plugin's own folder and to what stands beside
    it, so that a change in any file that the code runs through changes the key.

    Args:
        path: A Python file, or the folder of a plugin.
    """
    found: dict[str, str] = {}
    folder = path if path.is_dir() else None
    waiting = sorted(path.rglob("*.py")) if folder else [path]
    seen = set(waiting)
    while waiting:
        file = waiting.pop()
        content = file.read_bytes()
        found[_label(file, path)] = hashlib.sha256(content).hexdigest()
        for module in _imports(content):
            top = module.split(".")[0]
            if top == _PACKAGE.name:
                inner = _module_file(module)
                if inner and inner not in seen:
                    seen.add(inner)
                    waiting.append(inner)
            elif helper := beside(file, module):
                helpers = sorted(helper.rglob("*.py")) if helper.is_dir() else [helper]
                waiting += [each for each in helpers if each not in seen]
                seen.update(helpers)
            elif top in distributions():
                for name in distributions()[top]:
                    found[f"{name} version"] = _version(name)
    return dict(sorted(found.items()))


def _label(file: Path, plugin: Path) -> str:
    """Return the name of a source: the same for a plugin in a repository and in a wheel."""
    ours = file.is_relative_to(_PACKAGE) and not file.is_relative_to(plugin)
    base = _PACKAGE.parent if ours else plugin.parent
    # The alias of AutoAttack lies with our plugins, which are in the package or beside it.
    return str(file.relative_to(base)) if file.is_relative_to(base) else file.name


@cache
def distributions() -> Mapping[str, list[str]]:
    """Return the installed distributions by the packages that they bring."""
    return importlib.metadata.packages_distributions()


@cache
def _version(distribution: str) -> str:
    """Return a version; the metadata that holds it takes longer to read than many a source."""
    return importlib.metadata.version(distribution)


@cache
def _imports(content: bytes) -> tuple[str, ...]:
    """Return the modules a source imports; `from package import name` gives both readings."""
    return tuple(_imported(content))


def _imported(content: bytes) -> Iterator[str]:
    try:
        tree = ast.parse(content)
    except SyntaxError:
        return  # a template, say, in the folder of a plugin: nothing runs through it
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # What a room offers in its `__init__` runs where it stands; the rest of the room has
            # no part in it.
            offered = _offered_by(node.module)
            if offered is None:
                yield node.module
            for alias in node.names:
                found = (offered or {}).get(alias.name, f"{node.module}.{alias.name}")
                yield found
                if offered is not None and alias.name not in offered and not _module_file(found):
                    yield node.module  # its own name, or all of them


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the statements of a tree; an import is one, and none stands in an expression."""
    for part in _BLOCKS:
        if part == "body" and isinstance(node, ast.If) and ast.unparse(node.test) == _TYPES_ONLY:
            continue  # nothing runs through a name for checkers
        for statement in getattr(node, part, ()):
            yield statement
            yield from _statements(statement)


@cache
def _offered_by(room: str) -> Mapping[str, str] | None:
    """Return where the names stand that a room's `__init__` offers; None for what is no room."""
    top, *inner = room.split(".")
    file = _PACKAGE.joinpath(*inner, "__init__.py")
    if top != _PACKAGE.name or not file.is_file():
        return None
    return {
        alias.asname or alias.name: node.module
        for node in ast.walk(ast.parse(file.read_bytes()))
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
        for alias in node.names
    }


def _module_file(module: str) -> Path | None:
    _, *inner = module.split(".")
    base = _PACKAGE.joinpath(*inner)
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.is_file() and candidate != _PACKAGE / "__init__.py":
            return candidate
    # A module that was renamed has no file of its name; its finder says where it is.
    spec = importlib.util.find_spec(module) if len(inner) == 1 else None
    return Path(spec.origin) if spec and spec.origin else None
