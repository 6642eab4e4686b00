"""The command that starts a config from a shipped one."""

from pathlib import Path
from typing import Annotated

import typer

from superdef_bench.cli.app import app
from superdef_bench.cli.completion import shipped_names
from superdef_bench.cli.output import say


@app.command("init")
def init_command(
    name: Annotated[
        str,
        typer.Argument(
            help="Shipped config to copy; all are listed by default.",
            autocompletion=shipped_names,
        ),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="File to write; by default NAME.toml.", metavar="FILE"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Copy a shipped config, to start your own from; without a name, list them."""
    from superdef_bench.cli.shipped_configs import copy_config, print_configs

    if not name:
        print_configs()
        return
    path, command = copy_config(name, out, force=force)
    say(path, command)
