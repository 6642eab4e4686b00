"""Commands that run benchmarks and read what they left."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from superdef_bench.cli.root import (
    DataDirectory,
    Device,
    Directories,
    app,
    command_line,
    keep_data_in,
    registry_of,
)
from superdef_bench.errors import ConfigError


@app.command("run")
def run_command(
    config: Annotated[str, typer.Argument(help="TOML file, or the name of a shipped config.")],
    defense: Annotated[
        list[str] | None, typer.Option("-d", "--defense", help="Only this defense; repeatable.")
    ] = None,
    attack: Annotated[
        list[str] | None,
        typer.Option("-a", "--attack", help="Only this attack or preset; repeatable."),
    ] = None,
    rung: Annotated[
        list[str] | None, typer.Option("--rung", help="Only this rung; repeatable.")
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
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Run folder; by default runs/<config>.")
    ] = None,
) -> None:
    """Run a benchmark; what the run folder already holds is not run again."""
    from superdef_bench.benchmark import choose_device
    from superdef_bench.build import build
    from superdef_bench.config import find_config, load_config
    from superdef_bench.leaderboard import publish
    from superdef_bench.plan import make_plan
    from superdef_bench.runner import run
    from superdef_bench.show import print_failures, print_plan, print_ranking

    keep_data_in(data_dir)
    registry = registry_of(plugins_dir)
    path = find_config(config)
    wanted = load_config(path).select(
        defenses=defense or [],
        attacks=attack or [],
        rungs=rung or [],
        limit=limit,
        batch_size=batch_size,
        seed=seed,
        eightbit=eightbit,
    )
    benchmark = build(wanted, registry, choose_device(device))
    planned = make_plan(benchmark)
    if plan:
        print_plan(benchmark, planned)
        return
    folder = out or Path("runs") / path.stem
    results, outcome = run(benchmark, planned, folder, command=command_line())
    publish(results, folder)
    print_ranking(results)
    note = f", {outcome.reused} of them reused" if outcome.reused else ""
    print(f"{outcome.reused + outcome.computed} records{note}: {folder / results.name}.md")
    if outcome.failures:
        print_failures(results)
        raise typer.Exit(1)


@app.command("show")
def show_command(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    image: Annotated[str, typer.Argument(help="Image id; without one, some are listed.")] = "",
    defense: Annotated[
        list[str] | None, typer.Option("-d", "--defense", help="Only this row; repeatable.")
    ] = None,
    attack: Annotated[
        str, typer.Option("-a", "--attack", help="Of the picture; by default the first counted.")
    ] = "",
    rung: Annotated[str, typer.Option(help="Of the picture.")] = "gray_box",
    device: Device = "auto",
    data_dir: DataDirectory = None,
    plugins_dir: Directories = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="PNG; by default in the run folder.")
    ] = None,
) -> None:
    """Print what happened to one image of a run, and draw it before and after."""
    from superdef_bench.benchmark import choose_device
    from superdef_bench.image_report import print_image, print_images, write_strip
    from superdef_bench.one_image import OneImage

    if not image:
        print_images(run)
        return
    keep_data_in(data_dir)
    found = OneImage(run, image, registry_of(plugins_dir), choose_device(device))
    name = Path(image.replace("/", "_"))
    path = out or run / "show" / (name.stem if name.suffix == ".png" else name.name)
    path = path if out else path.with_name(f"{path.name}.png")
    write_strip(found, path, attack=attack, rung=rung, defenses=defense or [])
    print_image(found, defense or [])
    print(path)


@app.command("leaderboard")
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
    from superdef_bench.index import publish_all, stale_files
    from superdef_bench.leaderboard import load_all

    if html and (out or check):
        raise ConfigError(
            "--html writes a site and nothing else", hint="leave out -o and --check, or --html"
        )
    boards = load_all(results, out)
    if html:
        from superdef_bench.site import write_site

        print(write_site(boards, html))
        return
    if not check:
        for path in publish_all(boards):
            print(path)
        return
    old = stale_files(boards)
    for path in old:
        print(f"stale: {path}", file=sys.stderr)
    if old:
        print("hint: superdef-bench leaderboard RESULTS writes them again", file=sys.stderr)
        raise typer.Exit(1)


@app.command("reproduce")
def reproduce_command(
    results: Annotated[Path, typer.Argument(help="Run folder or results file.")],
    row: Annotated[
        list[int] | None,
        typer.Option(help="This row of the CSV, from 1; repeatable.", metavar="N"),
    ] = None,
    sample: Annotated[
        int | None, typer.Option(help="So many rows, drawn at random.", min=1, metavar="K")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of the draw; by default another each time.")
    ] = None,
    max_seconds: Annotated[
        float | None,
        typer.Option(help="Draw only rows that took no longer, by the file.", metavar="S"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    device: Device = "auto",
    data_dir: DataDirectory = None,
    plugins_dir: Directories = None,
) -> None:
    """Run rows of a results file again; exit with 1 if one does not hold.

    A row holds if images and settings agree, and verdicts on 99.5 % of the images; one may differ.
    """
    from superdef_bench.benchmark import choose_device
    from superdef_bench.reproduce import choose_rows, reproduce
    from superdef_bench.reproduction_report import print_json, print_reproductions
    from superdef_bench.results import load_results

    loaded = load_results(results)
    chosen = choose_rows(loaded, row or [], sample, seed=seed, max_seconds=max_seconds)
    keep_data_in(data_dir)
    registry = registry_of(plugins_dir)
    found = list(reproduce(loaded, chosen.numbers, registry, choose_device(device)))
    (print_json if as_json else print_reproductions)(loaded, chosen, found)
    if not all(each.holds for each in found):
        raise typer.Exit(1)
