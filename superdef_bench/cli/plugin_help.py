"""Help that goes on with the flags of the plugin named on the command line."""

import inspect
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from superdef_bench.cli.app import WORDS, Command, registry_of
from superdef_bench.core.visible import visible

if TYPE_CHECKING:
    from superdef_bench.core.arguments import Flag
    from superdef_bench.core.plugins import Kind, Plugin

_SECTION = re.compile(
    r"(Args|Arguments|Attributes|Examples?|Notes?|Raises|References|Returns|Yields):\s*"
)
_ENTRY = re.compile(r"\*{0,2}(\w+)(?: \([^)]*\))?:\s*(.*)")


def prose(thing: Callable[..., Any]) -> list[str]:
    """Return the paragraphs of the docstring of `thing` before its first section, one line each."""
    lines = _lines(thing)
    first = next((n for n, line in enumerate(lines) if _SECTION.fullmatch(line)), len(lines))
    paragraphs = "\n".join(lines[:first]).split("\n\n")
    return [" ".join(paragraph.split()) for paragraph in paragraphs if paragraph.strip()]


def described_arguments(thing: Callable[..., Any]) -> dict[str, str]:
    """Return name and description of each argument under `Args:`, one line each.

    Args:
        thing: A function or a class; what a class leaves out, its bases describe.
    """
    bases = reversed(thing.__mro__) if isinstance(thing, type) else [thing]
    return {name: text for base in bases for name, text in _arguments(_lines(base)).items()}


def _lines(thing: Callable[..., Any]) -> list[str]:
    return inspect.cleandoc(thing.__doc__ or "").splitlines()


def _arguments(lines: list[str]) -> dict[str, str]:
    start = next((n for n, line in enumerate(lines) if re.fullmatch(r"Arg(ument)?s:\s*", line)), -1)
    if start < 0:
        return {}
    found: dict[str, list[str]] = {}
    depth, current = 0, list[str]()
    for line in lines[start + 1 :]:
        text, indent = line.strip(), len(line) - len(line.lstrip())
        if not text:
            continue
        if indent == 0:
            break
        entry = _ENTRY.fullmatch(text)
        depth = depth or indent
        if indent == depth and entry:
            current = found.setdefault(entry[1], [])
            text = entry[2]
        current.append(text)
    return {name: " ".join(filter(None, texts)) for name, texts in found.items()}


_TAKES_WIDTH = 18


class _CommandOfPlugin(Command):
    """A command whose first argument, named like its kind, is a plugin."""

    kind: ClassVar["Kind"]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        # The help flag acts before any argument is looked at.
        given, _, _ = self.make_parser(ctx).parse_args(args=list(ctx.meta[WORDS]))
        name = given.get(self.kind)
        if not name:
            super().format_help(ctx, formatter)
            return
        folders = [Path(folder) for folder in given.get("plugins_dir", [])]
        own_only = bool(given.get("no_third_party"))
        plugin = registry_of(folders, own_only).get(self.kind, name)
        super().format_help(ctx, formatter)
        _print_plugin(plugin)


class CommandOfRecipe(_CommandOfPlugin):
    kind = "recipe"


class CommandOfDefense(_CommandOfPlugin):
    kind = "defense"


def _print_plugin(plugin: "Plugin") -> None:
    from rich.padding import Padding
    from rich.text import Text

    from superdef_bench.cli.plugin_help import described_arguments, prose
    from superdef_bench.cli.screen import console
    from superdef_bench.core.arguments import RESERVED, flags_of

    screen = console()
    if plugin.kind == "recipe":
        train = plugin.build().train
        flags = flags_of(train, reserved=RESERVED)
        paragraphs, meanings = prose(plugin.factory) + prose(train), described_arguments(train)
    else:
        flags = flags_of(plugin.factory)
        paragraphs, meanings = prose(plugin.factory), described_arguments(plugin.factory)
    if paragraphs:
        screen.print(Padding(Text(_plain("\n\n".join(paragraphs))), (1, 1)))
    if flags:
        screen.print(_table(plugin.title, flags, meanings))
    else:
        screen.print(f" {visible(plugin.title)} has no flags of its own.", markup=False)


def _table(title: str, flags: "list[Flag]", meanings: dict[str, str]) -> Any:
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1), expand=True)
    table.add_column(no_wrap=True, style="bold cyan")
    table.add_column(no_wrap=True, style="bold yellow")
    table.add_column(overflow="fold", max_width=12)
    table.add_column(overflow="fold", ratio=1)
    for flag in flags:
        words = (flag.word, _folded(flag.takes), flag.shown_default)
        meaning = _plain(meanings.get(flag.name, ""))
        table.add_row(*(Text(visible(word, keep="\n")) for word in (*words, meaning)))
    return Panel(
        table, title=Text(visible(f"Flags of {title}")), title_align="left", border_style="dim"
    )


def _plain(text: str) -> str:
    return visible(text.replace("`", ""), keep="\n")


def _folded(takes: tuple[str, ...]) -> str:
    """Return `a|b|c`, on several lines where it is long."""
    lines = textwrap.wrap("| ".join(takes), _TAKES_WIDTH, break_long_words=False)
    return "\n".join(line.replace("| ", "|") for line in lines)
