"""The shape of the code is what docs/architecture.md says: rooms, their order, their sentences."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

import superdef_bench

_ROOT = Path(__file__).parent.parent
_PACKAGE = _ROOT / "superdef_bench"
_PAGE = (_ROOT / "docs/architecture.md").read_text(encoding="utf-8")
_FILES = sorted(_PACKAGE.rglob("*.py"))
_PLUGINS = sorted((_ROOT / "plugins").rglob("*.py"))
_DOORS = {"__init__", "__main__", "apply", "evaluation", "testing"}
_LIBRARIES = {"foolbox", "pyautoattack", "autoattack", "robustbench", "torchattacks", "art"}
_NO_NAMES = {"utils", "util", "helpers", "helper", "misc", "common"}


def rows_of(title: str) -> list[list[str]]:
    """Return the cells of the first table below a heading of the page, without its head."""
    below = _PAGE.split(f"# {title}\n", 1)[1]
    lines = re.search(r"(?:^\|.*\n)+", below, re.M)
    assert lines, title
    return [
        [cell.strip(" `") for cell in line[1:-1].split("|")] for line in lines[0].split("\n")[2:-1]
    ]


ROOMS: Mapping[str, tuple[str, set[str]]] = {
    room: (sentence, set(filter(None, allowed.split(", "))))
    for room, sentence, allowed in rows_of("Rooms")
}


def name_of(file: Path) -> str:
    """Return the module of a file of the package, without the package's name."""
    return ".".join(file.relative_to(_PACKAGE).with_suffix("").parts).removesuffix(".__init__")


@cache
def imported(file: Path) -> frozenset[str]:
    """Return all that a file imports, when loaded, when run, and for checkers alone."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            module = "." * node.level + node.module
            inner = {f"{module}.{alias.name}" for alias in node.names}
            files = [_ROOT.joinpath(*name.split(".")).with_suffix(".py") for name in inner]
            # Who takes a module out of a room imports that module, not the room's own names.
            found |= inner if all(path.is_file() for path in files) else {module, *inner}
    return frozenset(found)


@cache
def modules_of(file: Path) -> frozenset[str]:
    """Return the modules of the package that a file imports, without the package's name."""
    known = {name_of(each) for each in _FILES}
    inner = {name.removeprefix("superdef_bench.") for name in imported(file) if "." in name}
    return frozenset((inner & known) - {name_of(file), "__init__"})


def room_of(module: str) -> str:
    return module.split(".")[0]


def test_the_page_lists_the_rooms_that_there_are() -> None:
    assert set(ROOMS) == {path.parent.name for path in _PACKAGE.glob("*/__init__.py")}
    assert {path.stem for path in _PACKAGE.glob("*.py")} == _DOORS


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_in_its_docstring_what_the_page_says(room: str) -> None:
    tree = ast.parse((_PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(tree) == ROOMS[room][0]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_the_rooms_named_beside_it(room: str) -> None:
    allowed = ROOMS[room][1] | {room}
    for file in (_PACKAGE / room).rglob("*.py"):
        rooms = {room_of(module) for module in modules_of(file)} & set(ROOMS)
        doors = {room_of(module) for module in modules_of(file)} & _DOORS
        assert rooms <= allowed, f"{name_of(file)} imports {sorted(rooms - allowed)}"
        assert not doors or room == "cli", f"{name_of(file)} goes out by {doors}"


def test_only_the_command_line_and_its_entry_import_the_command_line() -> None:
    for file in _FILES:
        if room_of(name_of(file)) not in ("cli", "__main__"):
            assert "cli" not in map(room_of, modules_of(file)), name_of(file)


def test_no_circle_even_among_names_that_only_a_checker_sees() -> None:
    arrows = {name_of(file): modules_of(file) for file in _FILES if file.parent != _PACKAGE}
    done: set[str] = set()

    def walk(module: str, way: list[str]) -> None:
        assert module not in way, " -> ".join([*way[way.index(module) :], module])
        if module not in done:
            for other in sorted(arrows.get(module, ())):
                walk(other, [*way, module])
            done.add(module)

    for module in arrows:
        walk(module, [])
    assert len(done) > 80


def test_results_are_read_and_published_without_torch() -> None:
    rooms = [room for room, (sentence, _) in ROOMS.items() if "No torch" in sentence]
    assert rooms == ["results", "leaderboard", "gate"]
    files = [file for room in rooms for file in (_PACKAGE / room).rglob("*.py")]
    names = [f"superdef_bench.{name_of(file)}" for file in files] + ["superdef_bench.core.threats"]
    program = f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\n"
    program += "print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=_ROOT
    )
    assert done.stdout.strip() == "False"


def test_the_engine_imports_no_attack_library() -> None:
    for file in (_PACKAGE / "engine").rglob("*.py"):
        assert not {module.split(".")[0] for module in imported(file)} & _LIBRARIES


@pytest.mark.parametrize("way", ["The way of a config", "The way of an image", "The way out"])
def test_each_step_of_a_way_is_an_import(way: str) -> None:
    steps = rows_of(way)
    assert len(steps) >= 10
    for first, second, _ in steps:
        file = _PACKAGE.joinpath(*first.split(".")).with_suffix(".py")
        assert file.is_file(), f"there is no {first}"
        assert second in modules_of(file), f"{first} does not import {second}"


@pytest.mark.parametrize("file", _PLUGINS, ids=lambda f: str(f.relative_to(_ROOT)))
def test_plugins_import_public_names_and_no_other_plugin(file: Path) -> None:
    doors = {"engine", "nn", "prior", "training", "testing"}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            top, *inner = node.module.split(".")
            assert top != "plugins", node.module
            if top == "superdef_bench" and not inner:
                assert {alias.name for alias in node.names} <= set(superdef_bench.PUBLIC)
            elif top == "superdef_bench":
                assert inner in [[door] for door in doors], node.module
        elif isinstance(node, ast.ImportFrom):
            assert file.parent.joinpath("__init__.py").exists(), "a plugin is a file or a folder"
            assert node.level == 1
        elif isinstance(node, ast.Import):
            assert not any(alias.name.startswith("superdef_bench") for alias in node.names)


def test_public_names_stand_where_the_package_says() -> None:
    for name, module in superdef_bench.PUBLIC.items():
        assert getattr(superdef_bench, name) is not None
        file = _PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
        assert re.search(rf"^(?:def|class) {name}\b|^{name}\b.* =", file.read_text(), re.M), name


def _named() -> Iterator[Path]:
    yield from _FILES
    yield from _PLUGINS
    yield from (_ROOT / "tests").rglob("*.py")


def test_files_have_names() -> None:
    assert not [file for file in _named() if file.stem in _NO_NAMES]


def test_tests_mirror_the_rooms() -> None:
    folders = {path.parent.name for path in (_ROOT / "tests").glob("*/test_*.py")}
    assert folders <= {*ROOMS, "plugins", "docs", "benchmarks", "gpu", "journeys"}
    assert set(ROOMS) <= folders
    loose = {path.name for path in (_ROOT / "tests").glob("*.py")}
    assert loose == {"__init__.py", "conftest.py", "test_architecture.py"}
