"""Commands that ask a run something."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from superdef_bench.cli.app import (
    BriefCommand,
    DataDirectory,
    Device,
    Directories,
    OwnOnly,
    app,
    keep_data_in,
    registry_of,
)
from superdef_bench.cli.output import remark, say, write

if TYPE_CHECKING:
    from superdef_bench.core.plugins import Registry


Trust = Annotated[
    bool, typer.Option("--trust", help="Load plugins of the folders that the run names.")
]


def registry_of_run(
    run: Path, directories: list[Path] | None, own_only: bool, *, trust: bool
) -> "Registry":
    """Load the plugins of a run: of the folders given, else of those that it names, if trusted."""
    from superdef_bench.analysis.consent import check_plugins
    from superdef_bench.analysis.run_folder import config_of
    from superdef_bench.results.load import load_results
    from superdef_bench.run.manifest import remembered_plugins

    remembered = remembered_plugins(run)
    if directories or not remembered:
        return registry_of(directories, own_only)
    if trust:
        for folder in remembered:
            remark(f"trusted: plugins folder {folder}")
        return registry_of(remembered, own_only)
    registry = registry_of([], own_only)
    check_plugins(run, config_of(load_results(run)), registry)
    return registry


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
    no_third_party: OwnOnly = False,
    trust: Trust = False,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="PNG; by default in the run folder.")
    ] = None,
) -> None:
    """Print what happened to one image of a run, and draw it before and after."""
    from superdef_bench.analysis.image import OneImage, write_strip
    from superdef_bench.cli.image_table import print_image, print_images
    from superdef_bench.io.machine import choose_device

    if not image:
        print_images(run)
        return
    keep_data_in(data_dir)
    registry = registry_of_run(run, plugins_dir, no_third_party, trust=trust)
    found = OneImage(run, image, registry, choose_device(device))
    name = Path(image.replace("/", "_"))
    path = out or run / "show" / (name.stem if name.suffix == ".png" else name.name)
    path = path if out else path.with_name(f"{path.name}.png")
    write_strip(found, path, attack=attack, rung=rung, defenses=defense or [])
    print_image(found, defense or [])
    say(path)


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
    without: Annotated[
        list[str] | None,
        typer.Option(help="Draw no rows of this defense; repeatable.", metavar="DEFENSE"),
    ] = None,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Run programs and read files of your own that it names."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    device: Device = "auto",
    data_dir: DataDirectory = None,
    plugins_dir: Directories = None,
    no_third_party: OwnOnly = False,
) -> None:
    """Run rows of a results file again; exit with 1 if one does not hold.

    A row holds if images and settings agree, and verdicts on 99.5 % of the images; one may differ.
    """
    from superdef_bench.analysis.consent import check_trusted, named_things
    from superdef_bench.analysis.reproduce import choose_rows, reproduce
    from superdef_bench.analysis.run_folder import config_of
    from superdef_bench.cli.reproduction_table import print_json, print_reproductions
    from superdef_bench.io.machine import choose_device
    from superdef_bench.results.load import load_results

    loaded = load_results(results)
    chosen = choose_rows(
        loaded, row or [], sample, seed=seed, max_seconds=max_seconds, without=without or []
    )
    keep_data_in(data_dir)
    if trust:
        for thing in named_things(config_of(loaded)):
            remark(f"trusted: {thing}")
    else:
        check_trusted(loaded.name, config_of(loaded))
    registry = registry_of(plugins_dir, no_third_party)
    found = list(reproduce(loaded, chosen.numbers, registry, choose_device(device)))
    (print_json if as_json else print_reproductions)(loaded, chosen, found)
    if not all(each.holds for each in found):
        raise typer.Exit(1)


@app.command("examples")
def examples_command(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    attack: Annotated[str, typer.Argument(help="Attack of its config, replayed in gray box.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write.", metavar="FILE")],
    eps: Annotated[str, typer.Option(help="Radius; by default the last.")] = "",
    device: Device = "auto",
    data_dir: DataDirectory = None,
    plugins_dir: Directories = None,
    no_third_party: OwnOnly = False,
    trust: Trust = False,
) -> None:
    """Write the gray-box examples that a run kept into one file, for the attack replay."""
    from superdef_bench.analysis.examples import kept_examples
    from superdef_bench.io.documents import toml_key
    from superdef_bench.io.machine import choose_device

    keep_data_in(data_dir)
    registry = registry_of_run(run, plugins_dir, no_third_party, trust=trust)
    found = kept_examples(run, attack, eps, registry, choose_device(device))
    digest = found.save(out)
    say(f"{len(found.ids)} examples, {out.stat().st_size:,} bytes: {out}")
    facts = f'file = "{out.as_posix()}", sha256 = "{digest}"'
    say(f'{toml_key(f"{attack}_examples")} = {{ plugin = "replay", {facts} }}')


@app.command("versus", cls=BriefCommand)
def versus_command(
    results: Annotated[Path, typer.Argument(help="Run folder or results file.")],
    first: Annotated[str, typer.Argument(help="Row of its table, such as superdef.")],
    second: Annotated[list[str], typer.Argument(help="The rows to compare it with, such as rcan.")],
    attacks: Annotated[bool, typer.Option("--attacks", help="Each attack too.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="As one Markdown table.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with all digits.")] = False,
) -> None:
    """Compare a row of a leaderboard with others, on the images that both have.

    Ratio: first over second, with the 95 % interval of a bootstrap over images.
    p: of McNemar's exact test, corrected for all that is compared (Holm).
    """
    from superdef_bench.analysis.versus import compare_all, in_markdown, why_not
    from superdef_bench.cli.tables import print_comparisons
    from superdef_bench.results.load import load_results
    from superdef_bench.results.rows import find_row

    loaded = load_results(results)
    row, others = find_row(loaded, first), [find_row(loaded, word) for word in second]
    found = compare_all(loaded, row, others, attacks=attacks)
    if as_json:
        listed = [{"against": name, **asdict(r)} for name, rows in found.items() for r in rows]
        write(json.dumps(listed, indent=1) + "\n")
    elif markdown:
        write(in_markdown(row, found, why_not(loaded, row, *others)))
    else:
        tests = sum(map(len, found.values()))
        for name, rows in found.items():
            print_comparisons((row, name), rows, why_not(loaded, row, name), tests)


@app.command("summary", cls=BriefCommand)
def summary_command(
    results: Annotated[list[Path], typer.Argument(help="Run folders or results files.")],
    row: Annotated[
        list[str] | None,
        typer.Option("--row", help="Only this row; repeatable.", metavar="NAME"),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="As a Markdown table.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with all digits.")] = False,
) -> None:
    """Say of each row of several tables whom it helps against, and what it costs.

    Beside the undefended classifier, on the same images, at the last eps of each table.
    """
    from superdef_bench.analysis.summary import EXPLAINED, summarise, summary_table
    from superdef_bench.cli.tables import print_table
    from superdef_bench.core.threats import UNDEFENDED
    from superdef_bench.results.load import load_results
    from superdef_bench.results.table import to_markdown

    tables = [load_results(path) for path in results]
    every = (name for table in tables for name in table.defenses if name != UNDEFENDED)
    found = summarise(tables, row or list(dict.fromkeys(every)))
    if as_json:
        write(json.dumps([asdict(each) for each in found], indent=1) + "\n")
    elif markdown:
        write("\n".join([*to_markdown(summary_table(found)), EXPLAINED]) + "\n")
    else:
        print_table(summary_table(found), EXPLAINED)


@app.command("agreement")
def agreement_command(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    first: Annotated[str, typer.Argument(help="Row of its table, such as superdef.")],
    second: Annotated[str, typer.Argument(help="The row to compare with, such as rcan.")],
    limit: Annotated[int, typer.Option(help="Images to compare; 0 for labels alone.", min=0)] = 256,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with all digits.")] = False,
    device: Device = "auto",
    data_dir: DataDirectory = None,
    plugins_dir: Directories = None,
    no_third_party: OwnOnly = False,
    trust: Trust = False,
) -> None:
    """Compare two defenses of a run: the images that they make, and the labels behind them."""
    from superdef_bench.analysis.agreement import agreement
    from superdef_bench.cli.tables import print_agreement
    from superdef_bench.io.machine import choose_device

    keep_data_in(data_dir)
    where = choose_device(device)
    registry = registry_of_run(run, plugins_dir, no_third_party, trust=trust)
    names, found = agreement(run, first, second, limit=limit, registry=registry, device=where)
    rows = list(found)
    if as_json:
        write(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    else:
        print_agreement(names, rows)
