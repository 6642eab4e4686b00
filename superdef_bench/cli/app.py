"""The application: what all commands share."""

import gc
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from superdef_bench import __version__
from superdef_bench.cli.output import complain, finish, own_stdout, say, strangers, write
from superdef_bench.core.calls import reason
from superdef_bench.core.errors import InterruptError, PluginError
from superdef_bench.io.files import DATA_VARIABLE, portable
from superdef_bench.io.process import check_stopped, interrupt_code, last_words

if TYPE_CHECKING:
    from superdef_bench.core.plugins import Registry

_ORDER = (
    *("run", "init", "show", "leaderboard", "reproduce", "compare", "examples", "bank"),
    *("history", "versus", "summary", "quality", "agreement"),
    *("fits", "detections", "cost", "verify"),
    *("list", "check", "new", "data", "train", "apply", "residual"),
)


_HELP = ["-h", "--help"]
WORDS = "superdef_bench.words"  # of the context: what stands behind the command


_STOPPED = 130  # the parser's exit code after Ctrl-C

Function = TypeVar("Function", bound=Callable[..., Any])


class Command(TyperCommand):
    """A command; what plugins print while it runs is no part of its answer."""

    def invoke(self, ctx: Any) -> Any:
        with strangers():
            try:
                return super().invoke(ctx)
            except KeyboardInterrupt as error:
                raise InterruptError("stopped: files that were finished are kept") from error
            except SystemExit as error:  # no command of ours ends so
                code = reason(error)
                raise PluginError(f"a plugin ended the command: {code}") from error


class BriefCommand(Command):
    """A command that only reads results: collecting garbage would be a tenth of its time."""

    def invoke(self, ctx: Any) -> Any:
        gc.disable()
        try:
            return super().invoke(ctx)
        finally:
            gc.enable()


class _Commands(TyperGroup):
    """All commands, listed from the one that most begin with."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Show help where it is asked for, before typer loads what it checks values with."""
        ctx.meta[WORDS] = args[2:] if args[:1] == ["--"] else args[1:]
        # Behind an option it may be a value: that is for typer to say.
        plain = not any(word.startswith("-") for word in args[1:-1])
        own = self._named(ctx, args[:-1]) if plain and args[-1:] and args[-1] in _HELP else None
        if own is not None:
            write(own.command.get_help(own) + "\n")
            ctx.exit()
        return super().parse_args(ctx, args)

    def _named(self, ctx: Any, words: list[str]) -> Any:
        """Return the context of the command that words begin with; None where there is none."""
        command: Any = self
        for word in words:
            if not isinstance(command, TyperGroup):
                break  # an argument of the command
            command = command.commands.get(word)
            if command is None:
                return None
            settings = {**command.context_settings, "info_name": command.name, "parent": ctx}
            ctx = command.context_class(command, **settings)
        return ctx if words else None

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=_ORDER.index)


class App(typer.Typer):
    """An application of such commands, or a group of them."""

    def command(
        self, *words: Any, cls: type[TyperCommand] | None = None, **settings: Any
    ) -> Callable[[Function], Function]:
        return super().command(*words, cls=cls or Command, **settings)


app = App(
    cls=_Commands,
    name="superdef-bench",
    help="Benchmark input-transformation defenses: gray box and adaptive, on the same images.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": _HELP},
)

Directories = Annotated[
    list[Path] | None,
    typer.Option("--plugins-dir", help="Also load the plugins of this folder.", metavar="PATH"),
]
OwnOnly = Annotated[
    bool, typer.Option("--no-third-party", help="Load no plugins of installed packages.")
]
DataDirectory = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Folder of downloads; by default data.", metavar="PATH"),
]
Folder = Annotated[Path, typer.Option("-o", "--out", help="Folder to write to.", metavar="DIR")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


def main() -> NoReturn:
    """Run the command that was typed and raise SystemExit with its exit code."""
    raise SystemExit(run_typed())


def run_typed() -> int:
    """Run the command that was typed; return its exit code.

    Whatever goes wrong is one line and a hint.
    """
    with own_stdout():
        return finish(_run())


def _run() -> int:
    try:
        app(prog_name="superdef-bench")
    except SystemExit as stop:
        # The parser ends so, after its own message; 130 where it was stopped.
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        return interrupt_code() if code == _STOPPED else code
    except BaseException as error:  # the last net: nobody reads a traceback
        words, code = last_words(error)
        complain(words)
        return code
    return 0


def registry_of(directories: list[Path] | None, own_only: bool) -> "Registry":
    """Load the plugins, those of the folders too, and those of installed packages if wanted."""
    from superdef_bench.core.loader import use_plugins
    from superdef_bench.io.notes import note

    with strangers():
        found = use_plugins(directories or [], third_party=not own_only)
    for folder in found.empty:
        note(f"plugins folder {folder} has no plugin: a .py file whose name starts with no _")
    check_stopped()  # a plugin may swallow what a signal raises
    return found


def keep_data_in(folder: Path | None) -> None:
    """Let downloads go to a folder, where one is given."""
    if folder is not None:
        os.environ[DATA_VARIABLE] = str(folder)


def command_line(*, plugins: bool = True) -> str:
    """Return the command as typed, without the folders of this machine.

    Args:
        plugins: Whether the command loads any. Those that the environment names then stand in it
            as options: who types it again has another environment.
    """
    typed = sys.argv[1:]
    command = 2 if typed[:1] == ["--"] else 1  # words up to it; options may not stand behind all
    words = ["superdef-bench"]
    if plugins:
        from superdef_bench.core.loader import environment_options

        typed[command:command] = environment_options()
    for word in typed:
        option, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
        path = Path(value)
        words.append(option + equals + (portable(path) if path.is_absolute() else value))
    return shlex.join(words)


def _version(value: bool) -> None:
    if value:
        say(f"superdef-bench {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
