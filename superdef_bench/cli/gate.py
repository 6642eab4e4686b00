"""Commands that tell whether something got worse."""

from pathlib import Path
from typing import Annotated

import typer

from superdef_bench.cli.app import (
    BriefCommand,
    app,
)
from superdef_bench.cli.output import encoding, say, write
from superdef_bench.core.errors import ConfigError


@app.command("compare", cls=BriefCommand)
def compare_command(
    baseline: Annotated[Path, typer.Argument(help="Run folder or results file to compare with.")],
    results: Annotated[Path, typer.Argument(help="Run folder or results file to judge.")],
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-on",
            help="accuracy, clean, gray_box or adaptive in points, gmac, params or latency in "
            "percent: accuracy:2, gmac:5%, latency:off; repeatable.",
            metavar="METRIC:LIMIT",
        ),
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help="text, markdown, json or junit.", metavar="FORMAT")
    ] = "text",
    one_job: Annotated[
        bool,
        typer.Option("--one-job", help="Both were measured in one job: compare their latencies."),
    ] = False,
) -> None:
    """Say what got worse since a baseline: exit 1 if something did, 2 if none can tell."""
    from superdef_bench.core.errors import did_you_mean
    from superdef_bench.gate.compare import compare
    from superdef_bench.gate.findings import parse_limits
    from superdef_bench.gate.reports import FORMATS
    from superdef_bench.results.load import load_results

    limits = parse_limits(fail_on or [])
    if form not in FORMATS:
        raise ConfigError(f"unknown format {form!r}", hint=did_you_mean(form, FORMATS))
    report = compare(
        load_results(baseline),
        load_results(results),
        limits,
        names=(baseline.as_posix(), results.as_posix()),
        one_job=one_job,
    )
    write(FORMATS[form](report))
    if report.regressed:
        raise typer.Exit(1)


@app.command("history", cls=BriefCommand)
def history_command(
    results: Annotated[list[Path], typer.Argument(help="Run folders or results files, in order.")],
    metric: Annotated[
        str, typer.Option(help="adaptive, gray_box, clean, gmac, params or latency.")
    ] = "adaptive",
    commits: Annotated[
        int, typer.Option(help="Also this many committed versions of each file.", min=0)
    ] = 0,
    svg: Annotated[
        Path | None, typer.Option(help="Also draw it into this file.", metavar="FILE")
    ] = None,
) -> None:
    """Show a metric over several results, or over the commits of one file."""
    from superdef_bench.gate.history import history, to_svg, to_text, versions_of
    from superdef_bench.io.files import write_atomically

    found = history(list(versions_of(results, commits)), metric)
    write(to_text(found, encoding()))
    if svg:
        write_atomically(svg, to_svg(found))
        say(svg)
