"""The command that runs a benchmark."""

from pathlib import Path
from typing import Annotated

import typer

from superdef_bench.cli.app import (
    DataDirectory,
    Device,
    Directories,
    OwnOnly,
    app,
    command_line,
    keep_data_in,
    registry_of,
)
from superdef_bench.cli.completion import norms, rungs, shipped_names
from superdef_bench.cli.output import say


@app.command("run")
def run_command(
    config: Annotated[
        str,
        typer.Argument(
            help="TOML file, or the name of a shipped config.", autocompletion=shipped_names
        ),
    ],
    defense: Annotated[
        list[str] | None,
        typer.Option("-d", "--defense", help="Only this row, or plugin; repeatable."),
    ] = None,
    attack: Annotated[
        list[str] | None,
        typer.Option("-a", "--attack", help="Only this row, plugin or preset; repeatable."),
    ] = None,
    rung: Annotated[
        list[str] | None,
        typer.Option(
            "--rung",
            help="Only this rung, a level of attacker knowledge; repeatable.",
            autocompletion=rungs,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Classifier in place of the config's: its name.", metavar="NAME"),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Dataset in place of the config's: its name.", metavar="NAME"),
    ] = None,
    eps: Annotated[
        list[str] | None,
        typer.Option(help="Radii in place of the config's, such as 2/255,8/255.", metavar="RADII"),
    ] = None,
    norm: Annotated[
        str | None,
        typer.Option(help="linf or l2, in place of the config's.", autocompletion=norms),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Images.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images at once.")] = None,
    device: Device = "auto",
    seed: Annotated[int | None, typer.Option(help="Seed of all randomness.")] = None,
    eightbit: Annotated[
        bool, typer.Option("--eightbit", help="Score attacked images rounded to 8 bits.")
    ] = False,
    data_dir: DataDirectory = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print what would run, and stop.")] = False,
    plugins_dir: Directories = None,
    no_third_party: OwnOnly = False,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Run folder; by default runs/<config>.")
    ] = None,
) -> None:
    """Run a benchmark; what the run folder already holds is not run again."""
    from superdef_bench.cli.plan_table import print_outline, print_plan
    from superdef_bench.cli.tables import print_failures, print_ranking
    from superdef_bench.io.machine import choose_device
    from superdef_bench.leaderboard.publish import publish
    from superdef_bench.run.prepare import Selection, outlined, prepare
    from superdef_bench.run.runner import run

    keep_data_in(data_dir)
    registry = registry_of(plugins_dir, no_third_party)
    selection = Selection(
        defenses=defense or [],
        attacks=attack or [],
        rungs=rung or [],
        model=model,
        dataset=dataset,
        norm=norm,
        eps=[radius for word in eps or [] for radius in word.split(",")],
        limit=limit,
        batch_size=batch_size,
        seed=seed,
        eightbit=eightbit,
    )
    where = choose_device(device)
    if plan:
        before = outlined(config, registry, **selection)
        if before.downloads:  # a plan downloads nothing, and what is not there cannot be built
            print_outline(before)
            return
    prepared = prepare(config, registry, where, out=out, **selection)
    if plan:
        print_plan(prepared.benchmark, prepared.plan)
        return
    folder = prepared.folder
    results, outcome = run(
        prepared.benchmark,
        prepared.plan,
        folder,
        command=command_line(),
        plugins_dir=plugins_dir or [],
        publish=publish,
    )
    print_ranking(results)
    note = f", {outcome.reused} of them reused" if outcome.reused else ""
    say(f"{outcome.reused + outcome.computed} records{note}: {folder / results.name}.md")
    if outcome.failures:
        print_failures(results)
        raise typer.Exit(1)
