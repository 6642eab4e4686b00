"""The command that publishes results."""

from pathlib import Path
from typing import Annotated

import typer

from superdef_bench.cli.app import (
    BriefCommand,
    app,
    command_line,
)
from superdef_bench.cli.output import remark, say
from superdef_bench.core.errors import ConfigError


@app.command("leaderboard", cls=BriefCommand)
def leaderboard_command(
    results: Annotated[list[Path], typer.Argument(help="Run folders or results files.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder; by default beside the results.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 if the files there are stale.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", help="Write a static site into this folder.", metavar="DIR"),
    ] = None,
) -> None:
    """Write leaderboards: Markdown, CSV, pictures, the results behind them, and an index."""
    from superdef_bench.leaderboard.index import publish_all, stale_files
    from superdef_bench.leaderboard.publish import load_all

    if html and (out or check):
        raise ConfigError(
            "--html writes a site and nothing else", hint="leave out -o and --check, or --html"
        )
    boards = load_all(results, out)
    if html:
        from superdef_bench.leaderboard.site import write_site

        say(write_site(boards, html, command=command_line(plugins=False)))
        return
    if not check:
        for path in publish_all(boards):
            say(path)
        return
    old = stale_files(boards)
    for path in old:
        remark(f"stale: {path}")
    if old:
        remark("hint: superdef-bench leaderboard RESULTS writes them again")
        raise typer.Exit(1)
