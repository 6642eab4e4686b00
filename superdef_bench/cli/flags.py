"""Help that goes on with the flags of the plugin named on the command line."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from typer.core import TyperCommand

if TYPE_CHECKING:
    from superdef_bench.flags import Flag
    from superdef_bench.plugins import Kind, Plugin

_WORDS = "superdef_bench.words"
_TAKES_WIDTH = 18


class _CommandOfPlugin(TyperCommand):
    """A command whose first argument, named like its kind, is a plugin."""

    kind: ClassVar["Kind"]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[_WORDS] = list(args)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        # The help flag acts before any argument is looked at.
        given, _, _ = self.make_parser(ctx).parse_args(args=list(ctx.meta[_WORDS]))
        name = given.get(self.kind)
        if not name:
            super().format_help(ctx, formatter)
            return
        from superdef_bench.cli.root import registry_of

        folders = [Path(folder) for folder in given.get("plugins_dir", [])]
        plugin = registry_of(folders).get(self.kind, name)
        super().format_help(ctx, formatter)
        _print_plugin(plugin)


class CommandOfRecipe(_CommandOfPlugin):
    kind = "recipe"


class CommandOfDefense(_CommandOfPlugin):
    kind = "defense"


def _print_plugin(plugin: "Plugin") -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    from superdef_bench.arguments import RESERVED
    from superdef_bench.docstrings import described_arguments, prose
    from superdef_bench.flags import flags_of

    screen = Console(highlight=False)
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
        screen.print(f" {plugin.title} has no flags of its own.", markup=False)


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
        table.add_row(*(Text(word) for word in (*words, meaning)))
    return Panel(table, title=Text(f"Flags of {title}"), title_align="left", border_style="dim")


def _plain(text: str) -> str:
    return text.replace("`", "")


def _folded(takes: tuple[str, ...]) -> str:
    """Return `a|b|c`, on several lines where it is long."""
    lines = textwrap.wrap("| ".join(takes), _TAKES_WIDTH, break_long_words=False)
    return "\n".join(line.replace("| ", "|") for line in lines)
