"""Start a plugin from the template of its kind."""

import ast
import keyword
import re
import shlex
from pathlib import Path

from superdef_bench.core.errors import ConfigError, did_you_mean
from superdef_bench.core.loader import load_plugins
from superdef_bench.core.plugins import KINDS, Kind
from superdef_bench.core.shipped import shipped
from superdef_bench.io.files import write_atomically

_USE = {
    "attack": "superdef-bench run quickstart -a {name}",
    "defense": "superdef-bench run quickstart -d {name}",
    "model": "superdef-bench run my.toml",
    "dataset": "superdef-bench train classifier --data {name} --epochs 3",
    "recipe": "superdef-bench train {name}",
}

_COLUMNS = 80
_NAME = re.compile("[a-z][a-z0-9_]*")


def write_plugin(
    kind: str, name: str, folder: Path, *, third_party: bool = True
) -> tuple[Path, list[str]]:
    """Write `folder/name.py`, a plugin that keeps its contract and shows what to replace.

    Args:
        kind: `attack`, `defense`, `model`, `dataset` or `recipe`; a plural will do.
        name: Name of the plugin, in lower case.
        folder: Folder for plugins; it is made.
        third_party: Whether names of installed distributions count as taken.

    Returns:
        The file, and the commands that check it and use it.

    Raises:
        ConfigError: The kind is unknown, the name cannot be used or is taken, or the file exists.
        DataError: The folder cannot be written.
    """
    known = _kind(kind)
    template = (shipped("plugins") / f"{known}s" / "_template.py").read_text(encoding="utf-8")
    owner = _class_name(name, known, template)
    path = folder / f"{name}.py"
    if path.exists() or path.is_symlink():
        raise ConfigError(f"{path} exists already", hint="choose another name, or delete it first")
    taken = load_plugins(third_party=third_party).plugins[known]
    if name in taken:
        raise ConfigError(
            f"there is a {known} {name!r} already: {taken[name].source}",
            hint=f"choose another name; superdef-bench list {known} shows all",
        )
    text = template.replace(f"my_{known}", name).replace(_example(known), owner)
    write_atomically(path, text.encode())
    return path, _commands(known, name, folder)


def _kind(given: str) -> Kind:
    for kind in KINDS:
        if given in (kind, f"{kind}s"):
            return kind
    raise ConfigError(f"unknown kind {given!r}", hint=did_you_mean(given, KINDS))


def _example(kind: Kind) -> str:
    return f"My{kind.capitalize()}"


def _class_name(name: str, kind: Kind, template: str) -> str:
    """Return the name of the class, or say why `name` cannot be used."""
    if not _NAME.fullmatch(name):
        near = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        fits = _NAME.fullmatch(near) and not keyword.iskeyword(near)
        raise ConfigError(
            f"name {name!r} has more than a to z, 0 to 9 and _, or starts with no letter",
            hint=f"take a name such as {near if fits else f'my_{kind}'}",
        )
    owner = "".join(part.capitalize() for part in name.split("_"))
    hint = f"take a name such as my_{name}"
    if keyword.iskeyword(name) or keyword.iskeyword(owner):
        raise ConfigError(f"name {name!r} is a word of Python", hint=hint)
    used = {node.id for node in ast.walk(ast.parse(template)) if isinstance(node, ast.Name)}
    if owner in used - {_example(kind)}:
        raise ConfigError(f"name {name!r} would hide {owner}, which the plugin uses", hint=hint)
    return owner


def _commands(kind: Kind, name: str, folder: Path) -> list[str]:
    """Return the next two commands; the built-in folder needs no flag."""
    inside = folder.resolve().is_relative_to(shipped("plugins").resolve())
    flag = "" if inside else f"--plugins-dir {shlex.quote(str(folder))}"

    def command(text: str) -> str:
        line = f"{text} {flag}".strip()
        return line if len(line) <= _COLUMNS else f"{text} \\\n  {flag}"

    note = f'# with model = "{name}" in the table [run] of my.toml:\n' if kind == "model" else ""
    use = _USE[kind].format(name=name)
    return [command(f"superdef-bench check {name}"), note + command(use)]
