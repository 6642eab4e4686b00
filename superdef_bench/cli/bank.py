"""Commands on the examples that a run folder keeps."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from superdef_bench.cli.analysis import Trust, registry_of_run
from superdef_bench.cli.app import (
    App,
    BriefCommand,
    DataDirectory,
    Device,
    Directories,
    OwnOnly,
    app,
    keep_data_in,
)
from superdef_bench.cli.output import remark, say

if TYPE_CHECKING:
    from superdef_bench.analysis.run_folder import RunFolder

bank = App(name="bank", no_args_is_help=True)
app.add_typer(bank)

Run = Annotated[Path, typer.Argument(help="Run folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


@bank.callback()
def _bank() -> None:
    """List, check, export and import the adversarial examples that a run keeps to replay."""


@bank.command("ls", cls=BriefCommand)
def ls_command(run: Run, as_json: AsJson = False) -> None:
    """List the examples that a run keeps: attack, what it was made on, radius, images, size."""
    from superdef_bench.cli.bank_table import print_index, print_index_json
    from superdef_bench.run.bank.index import read_index

    (print_index_json if as_json else print_index)(run, read_index(run))


@bank.command("verify")
def verify_command(
    run: Run,
    as_json: AsJson = False,
    device: Device = "auto",
    data_dir: DataDirectory = None,
    plugins_dir: Directories = None,
    no_third_party: OwnOnly = False,
    trust: Trust = False,
) -> None:
    """Read every file of a bank; exit with 1 if one is damaged.

    Checked are sha256, key, shape and range, and the ball where the folder has
    results and their dataset, classifier and plugins are here.
    """
    from superdef_bench.cli.bank_table import print_findings, print_findings_json
    from superdef_bench.core.errors import SuperdefError
    from superdef_bench.io.progress import progress_bar
    from superdef_bench.run.bank.check import CleanImages, verify
    from superdef_bench.run.bank.index import read_index

    index = read_index(run)
    keep_data_in(data_dir)
    clean = None
    try:
        opened = _opened(run, device, plugins_dir, no_third_party, trust=trust)
        clean = CleanImages(opened.benchmark) if opened else None
    except SuperdefError as error:  # the files can be read without the run's plugins and data
        remark(f"note: no ball is checked: {error.message}")
    found = []
    with progress_bar(len(index.files)) as bar:
        for finding in verify(index, clean):
            found.append(finding)
            bar.show(f"reading {finding.path.name[:12]}", f"{len(found)}/{len(index.files)} files")
            bar.advance(1)
    (print_findings_json if as_json else print_findings)(run, found)
    if any(finding.damage for finding in found):
        raise typer.Exit(1)


@bank.command("export")
def export_command(
    run: Run,
    attack: Annotated[str, typer.Argument(help="Attack of its config.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write.", metavar="FILE.pt")],
    eps: Annotated[str, typer.Option(help="Radius; by default the largest.")] = "",
    defense: Annotated[
        str,
        typer.Option(
            "-d",
            "--defense",
            help="Row, or other classifier, that they were made on; by default the bare one.",
        ),
    ] = "",
) -> None:
    """Write examples into one file, as RobustBench and AutoAttack have them: adv_complete."""
    from superdef_bench.run.bank.index import read_index
    from superdef_bench.run.bank.transfer import choose, export

    index = read_index(run)
    held = choose(index, attack, eps=eps, source=defense)
    count = export(held, out)
    made = " ".join(filter(None, (held.origin.attack, held.origin.norm, held.origin.eps)))
    what = f"{count} examples of {made} on {held.origin.made_on}"
    say(f"{what}, {out.stat().st_size:,} bytes: {out}")
    if index.unknown:
        remark(f"note: nothing says what made {len(index.unknown)} more files of the bank")


@bank.command("import")
def import_command(
    file: Annotated[Path, typer.Argument(help="What bank export wrote.", metavar="FILE.pt")],
    run: Annotated[Path, typer.Argument(help="Run folder; it is made.")],
    device: Device = "auto",
    data_dir: DataDirectory = None,
    plugins_dir: Directories = None,
    no_third_party: OwnOnly = False,
    trust: Trust = False,
) -> None:
    """Put exported examples into a run folder: a run of the same config makes them no more.

    Where the folder has results, the examples have to fit them: images, classes, radius, settings.
    """
    from superdef_bench.run.bank.transfer import check_fits, put, read_export

    parts = read_export(file)
    keep_data_in(data_dir)
    opened = _opened(run, device, plugins_dir, no_third_party, trust=trust)
    if opened is not None:
        check_fits(parts, opened.benchmark, opened.plan, file)
    new = put(parts, run)
    count, there = sum(len(part.origin.ids) for part in parts), len(parts) - new
    kept = f", {there} of them there already" if there else ""
    files = "1 file" if len(parts) == 1 else f"{len(parts)} files"
    say(f"{count} examples of {parts[0].origin.attack}, {files}{kept}: {run}")


def _opened(
    run: Path, device: str, plugins_dir: list[Path] | None, own_only: bool, *, trust: bool
) -> "RunFolder | None":
    """Return a run folder with its benchmark; None where it has no results."""
    from superdef_bench.analysis.run_folder import open_run
    from superdef_bench.io.machine import choose_device
    from superdef_bench.results.load import FILE

    if not (run / FILE).exists():
        return None
    registry = registry_of_run(run, plugins_dir, own_only, trust=trust)
    return open_run(run, registry, choose_device(device))
