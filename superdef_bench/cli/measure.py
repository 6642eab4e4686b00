"""Commands that measure networks without an attacker."""

import json
from pathlib import Path
from typing import Annotated

import typer

from superdef_bench.cli.app import (
    Device,
    Directories,
    Folder,
    OwnOnly,
    app,
    command_line,
    registry_of,
)
from superdef_bench.cli.output import remark, say, write


@app.command("quality")
def quality_command(
    network: Annotated[
        list[str],
        typer.Argument(help="Defenses that enlarge, or files of weights that train wrote."),
    ],
    data: Annotated[
        str,
        typer.Option(help="Folder of pairs a_HR.png and a_LR.png, or of such folders."),
    ],
    out: Folder = Path("runs/quality"),
    name: Annotated[
        str, typer.Option(help="Of the table; by default super-resolution-x<scale>.")
    ] = "",
    scale: Annotated[int, typer.Option(help="2, 3 or 4.")] = 2,
    picture: Annotated[
        Path | None,
        typer.Option(
            help="Only draw one photograph restored by each, into this PNG.", metavar="PNG"
        ),
    ] = None,
    photograph: Annotated[
        str, typer.Option(help="The one to draw, such as Set5/img_003; by default the first.")
    ] = "",
    crop: Annotated[
        str, typer.Option(help="Square of it to draw, in pixels.", metavar="LEFT,TOP,SIDE")
    ] = "0,0,96",
    device: Device = "auto",
    plugins_dir: Directories = None,
    no_third_party: OwnOnly = False,
) -> None:
    """Measure how well networks restore photographs: PSNR and SSIM, as papers report them."""
    from superdef_bench.cli.tables import print_quality
    from superdef_bench.io.machine import choose_device
    from superdef_bench.leaderboard.index import publish_all
    from superdef_bench.leaderboard.publish import last_published
    from superdef_bench.measure.photographs import measure_quality
    from superdef_bench.measure.restored_picture import write_picture

    registry_of(plugins_dir, no_third_party)
    if picture:
        write_picture(
            picture,
            network,
            data,
            scale=scale,
            photograph=photograph,
            crop=crop,
            device=choose_device(device),
        )
        say(picture)
        return
    name = name or f"super-resolution-x{scale}"
    last_published(out, name)  # what is wrong there is said before the work, not after it
    results = measure_quality(
        network,
        data,
        scale=scale,
        name=name,
        device=choose_device(device),
        folder=out,
        command=command_line(),
    )
    written = publish_all({out / results.name: results})
    print_quality(results)
    for path in written:
        say(path)


@app.command("cost")
def cost_command(
    defense: Annotated[
        list[str] | None,
        typer.Argument(
            help="Defenses, files of weights, or untrained sizes: RCAN:10x20x64. "
            "By default all defenses that need no argument and less than a second."
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(help="Classifier; torchvision:NAME is an untrained one.")
    ] = "signs_resnet8",
    size: Annotated[
        list[int] | None,
        typer.Option(help="Side of the image, by default 32; repeatable.", min=1),
    ] = None,
    batch_size: Annotated[
        list[int] | None,
        typer.Option(help="Images at once beside 1, by default 8, 64, 256; repeatable.", min=1),
    ] = None,
    mode: Annotated[
        list[str] | None,
        typer.Option(
            help="eager (default), channels_last, bf16, compiled, cuda_graphs, or several "
            "joined by +; repeatable."
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(help="Turns of each, with one image.", min=1)] = 100,
    seconds: Annotated[
        float, typer.Option(help="After which no round begins, per size and mode.", min=0)
    ] = 20.0,
    threads: Annotated[
        int | None, typer.Option(help="Of the processor; by default as torch has it.", min=1)
    ] = None,
    scale: Annotated[int, typer.Option(help="Of what has a scale: 2, 3 or 4.")] = 2,
    short: Annotated[
        bool, typer.Option("--short", help="Only ms, GMAC and ratio; no batches.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with all digits.")] = False,
    device: Device = "auto",
    plugins_dir: Directories = None,
    no_third_party: OwnOnly = False,
) -> None:
    """Measure what networks cost side by side: multiply-accumulates and time, on one image.

    Also operations, bytes, memory, throughput and roofline, with and without classifier.
    """
    import torch

    from superdef_bench.cli.cost_tables import print_costs
    from superdef_bench.io.machine import choose_device
    from superdef_bench.measure.latency import Budget, cost_document, measure
    from superdef_bench.measure.modes import Mode
    from superdef_bench.measure.networks import pipelines_of

    registry_of(plugins_dir, no_third_party)
    modes = [Mode.of(word) for word in dict.fromkeys(mode or ["eager"])]
    where = choose_device(device)
    if threads:
        torch.set_num_threads(threads)
    pipelines, left_out = pipelines_of(defense or [], model, scale, where)
    for name, why in left_out.items():
        remark(f"left out: {name}: {why}")
    budget = Budget(rounds, seconds)
    costs = measure(
        pipelines,
        model,
        sizes=size or [32],
        batches=batch_size or ([] if short else [8, 64, 256]),
        modes=modes,
        budget=budget,
        device=where,
    )
    document = cost_document(costs, model, scale=scale, budget=budget, device=where)
    if as_json:
        write(json.dumps(document, indent=1) + "\n")
    else:
        print_costs(document, short=short)
