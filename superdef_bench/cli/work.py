"""Commands that put one plugin to work: train by a recipe, apply a defense."""

from pathlib import Path
from typing import Annotated, Any

import typer

from superdef_bench.cli.root import (
    DataDirectory,
    Device,
    Directories,
    Folder,
    app,
    keep_data_in,
    registry_of,
)


@app.command("train", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train_command(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help="Recipe; see: superdef-bench list recipe.")],
    data: Annotated[str, typer.Option(help="Dataset plugin to train on.")] = "signs",
    device: Device = "auto",
    data_dir: DataDirectory = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
    plugins_dir: Directories = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder; by default runs/train-<recipe>.")
    ] = None,
) -> None:
    """Train weights by a recipe; its own settings are flags, such as --epochs 3.

    All of them: superdef-bench list recipe --json.
    """
    from superdef_bench.arguments import parse_flags
    from superdef_bench.benchmark import choose_device

    keep_data_in(data_dir)
    plugin = registry_of(plugins_dir).get("recipe", recipe)
    train: Any = plugin.build().train
    settings = parse_flags(train, context.args, f"recipe {recipe!r}")
    folder = out or Path("runs") / f"train-{recipe}"
    where = str(choose_device(device))
    for path in train(None, data=data, out=folder, device=where, resume=resume, **settings):
        print(path)


@app.command("apply", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def apply_command(
    defense: Annotated[str, typer.Argument(help="Input transform.")],
    image: Annotated[
        list[str], typer.Argument(help="Image files, or folders of them (not what lies deeper).")
    ],
    out: Folder,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
    device: Device = "auto",
    seed: Annotated[int, typer.Option(help="Seed of a random defense.")] = 0,
    plugins_dir: Directories = None,
) -> None:
    """Run one defense on images, to PNG; its arguments are flags, such as --quality 30.

    All of them: superdef-bench list defense --json.
    """
    from superdef_bench.apply import apply_words
    from superdef_bench.benchmark import choose_device

    plugin, where = registry_of(plugins_dir).get("defense", defense), choose_device(device)
    apply_words(plugin, image, out, force=force, device=where, seed=seed, report=print)
