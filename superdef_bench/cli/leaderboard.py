"""The command that publishes results."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from superdef_bench.cli.app import (
    BriefCommand,
    app,
    command_line,
)
from superdef_bench.cli.output import remark, say
from superdef_bench.core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from superdef_bench.results.schema import Results


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
    into: Annotated[
        Path | None,
        typer.Option("--into", help="Add rows of one run to this published table.", metavar="FILE"),
    ] = None,
    row: Annotated[
        list[str] | None,
        typer.Option("--row", help="Of that run only this row; repeatable.", metavar="NAME"),
    ] = None,
) -> None:
    """Write leaderboards: Markdown, CSV, pictures, the results behind them, and an index."""
    from superdef_bench.leaderboard.index import publish_all, stale_files
    from superdef_bench.leaderboard.publish import load_all

    if row and not into:
        raise ConfigError("--row chooses what is added", hint="say to which table: --into FILE")
    if into:
        if out or check or html or len(results) > 1:
            raise ConfigError(
                "--into adds rows of one run to one table",
                hint="name one run, and leave out -o, --check and --html",
            )
        for path in publish_all(_with_rows(into, results[0], row or [])):
            say(path)
        return
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


def _with_rows(into: Path, run: Path, words: list[str]) -> dict[Path, "Results"]:
    """Return a published table with rows of a run, by its place; what differs goes to stderr."""
    from superdef_bench.leaderboard.publish import load_standing
    from superdef_bench.results.additions import chosen, refusals, with_rows
    from superdef_bench.results.load import load_sealed

    table, theirs = load_standing(into), load_sealed(run)
    names = chosen(theirs, words)
    reasons = refusals(table, theirs, names)
    for line in reasons:
        remark(f"refused: {line}")
    if reasons:
        raise DataError(
            f"{run} does not fit into {into}: nothing was added",
            hint="run the table's config, with the new row in it and the same options",
        )
    return {into.parent / table.name: with_rows(table, theirs, names)}
