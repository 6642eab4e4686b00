"""Commands on Deep Protection: fits of Deep Image Prior, and the detector before a defense."""

from pathlib import Path
from typing import Annotated

import typer

from superdef_bench.cli.analysis import Trust, registry_of_run
from superdef_bench.cli.app import (
    DataDirectory,
    Device,
    Directories,
    Folder,
    OwnOnly,
    app,
    keep_data_in,
)
from superdef_bench.cli.output import say


@app.command("fits")
def fits_command(
    run: Annotated[Path, typer.Argument(help="Run folder, with a rung gray_box.")],
    out: Folder,
    steps: Annotated[
        int, typer.Option(help="Of every fit; 0 for 800 of the small network, else 3,000.")
    ] = 0,
    every: Annotated[int, typer.Option(help="Steps between two looks.")] = 20,
    images: Annotated[int, typer.Option(help="Of each attack, at most.")] = 64,
    draws: Annotated[int, typer.Option(help="Fits of each image.")] = 2,
    static: Annotated[
        int, typer.Option(help="Steps of the rule static; 0 for the network's default.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Of weights and noise.")] = 0,
    device: Device = "auto",
    data_dir: DataDirectory = None,
    plugins_dir: Directories = None,
    no_third_party: OwnOnly = False,
    trust: Trust = False,
) -> None:
    """Watch Deep Image Prior restore what a run attacked in gray box, and when to stop it.

    One fit serves every rule, and an oracle that looks at the label. Nothing is attacked
    again; a call that was stopped goes on where it was.
    """
    from superdef_bench.analysis.fits import Watch, watch_fits
    from superdef_bench.analysis.fits_page import write_page
    from superdef_bench.io.machine import choose_device

    watch = Watch(steps, every, images, draws, static, seed)
    keep_data_in(data_dir)
    registry = registry_of_run(run, plugins_dir, no_third_party, trust=trust)
    watch, kinds = watch_fits(run, out, watch, registry=registry, device=choose_device(device))
    for path in write_page(out, run.name, watch, kinds):
        say(path)


@app.command("detections")
def detections_command(
    run: Annotated[
        Path, typer.Argument(help="Run folder, with a row behind a detector and a rung gray_box.")
    ],
    out: Folder,
    device: Device = "auto",
    data_dir: DataDirectory = None,
    plugins_dir: Directories = None,
    no_third_party: OwnOnly = False,
    trust: Trust = False,
) -> None:
    """Ask the detectors of a run what they stop, and what that saves: ROC curves and work.

    Attacked images are those of the gray box, which the run keeps; nothing is attacked again.
    """
    from superdef_bench.analysis.detections import detections_in
    from superdef_bench.analysis.detections_page import write_page
    from superdef_bench.io.machine import choose_device

    keep_data_in(data_dir)
    registry = registry_of_run(run, plugins_dir, no_third_party, trust=trust)
    name, rows = detections_in(run, registry=registry, device=choose_device(device))
    for path in write_page(out, name, rows):
        say(path)


@app.command("residual")
def residual_command(
    out: Folder,
    image: Annotated[Path | None, typer.Argument(help="Map, an image file.")] = None,
    iterations: Annotated[
        int, typer.Option(help="Of the fit; later ones draw the letters, too.")
    ] = 50,
    threshold: Annotated[
        float, typer.Option(help="By how much every channel differs where text is.")
    ] = 0.25,
    known: Annotated[
        Path | None,
        typer.Option(help="Its text, white on black: print how much is found.", metavar="FILE"),
    ] = None,
    drawn: Annotated[
        int,
        typer.Option(help="In place of an image, this many plans and aerial maps drawn by code."),
    ] = 0,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
    device: Device = "auto",
    seed: Annotated[int, typer.Option(help="Of the network's random weights.")] = 0,
) -> None:
    """Find text in a map: Deep Image Prior draws ground and streets first, letters last.

    Writes what was drawn, what that leaves of the map, and the text, white on black.
    """
    from superdef_bench.cli.tables import print_found_text
    from superdef_bench.io.machine import choose_device, fix_numerics
    from superdef_bench.prior.map_files import find_text, maps_to_read
    from superdef_bench.prior.text import check_threshold

    check_threshold(threshold)
    where = choose_device(device)
    fix_numerics()
    maps = maps_to_read(image, drawn, known, out, force=force)
    found = find_text(maps, iterations, threshold, seed=seed, device=where, report=say)
    if found:
        print_found_text(found)
