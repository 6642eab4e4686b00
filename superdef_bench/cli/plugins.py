"""Commands for plugins: what there is, whether it works, and a new one."""

from pathlib import Path
from typing import Annotated

import typer

from superdef_bench.cli.app import Directories, Folder, OwnOnly, app, registry_of
from superdef_bench.cli.output import say, write


@app.command("list")
def list_command(
    kind: Annotated[
        str, typer.Argument(help="attack, defense, model, dataset or recipe; all by default.")
    ] = "",
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Whole summaries, and the file of each.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    plugins_dir: Directories = None,
    no_third_party: OwnOnly = False,
) -> None:
    """List the plugins and where each comes from."""
    from superdef_bench.cli.plugins_table import print_plugins

    registry = registry_of(plugins_dir, no_third_party)
    print_plugins(registry, kind, verbose=verbose, as_json=json)


@app.command("check")
def check_command(
    name: Annotated[
        list[str] | None, typer.Argument(help="Plugin, or kind:plugin where a name is not unique.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Check the contract of every plugin.")
    ] = False,
    brief: Annotated[bool, typer.Option("--brief", help="Only the contract.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    plugins_dir: Directories = None,
    no_third_party: OwnOnly = False,
) -> None:
    """Check plugins against their contract; exit with 1 if one breaks it.

    Of a defense also tell what it does to real images, what it costs and what looks wrong.
    """
    from superdef_bench.cli.check_table import print_checks

    registry = registry_of(plugins_dir, no_third_party)
    if not print_checks(registry, name or [], every=every, brief=brief, as_json=json):
        raise typer.Exit(1)


@app.command("new")
def new_command(
    kind: Annotated[str, typer.Argument(help="attack, defense, model, dataset or recipe.")],
    name: Annotated[str, typer.Argument(help="Name of the plugin, such as my_defense.")],
    out: Folder = Path("my_plugins"),
    no_third_party: OwnOnly = False,
) -> None:
    """Start a plugin from a template that works, and print what to do next."""
    from superdef_bench.cli.scaffold import write_plugin

    path, commands = write_plugin(kind, name, out, third_party=not no_third_party)
    say(path)
    write("".join(f"{command}\n" for command in commands))
