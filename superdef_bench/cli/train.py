"""Commands that put one plugin to work: train by a recipe, apply a defense."""

from pathlib import Path
from typing import Annotated

import typer

from superdef_bench.cli.app import (
    DataDirectory,
    Device,
    Directories,
    Folder,
    OwnOnly,
    app,
    keep_data_in,
    registry_of,
)
from superdef_bench.cli.output import say
from superdef_bench.cli.plugin_help import CommandOfDefense, CommandOfRecipe

_FLAGS = {"allow_extra_args": True, "ignore_unknown_options": True}  # the plugin's own


@app.command("train", cls=CommandOfRecipe, context_settings=_FLAGS)
def train_command(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help="Recipe; see: superdef-bench list recipe.")],
    data: Annotated[
        str | None,
        typer.Option(
            help="Dataset plugin, or a folder (for super-resolution also a zip) of images; by "
            "default the recipe's own.",
            metavar="NAME|DIR",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Classifier that the recipe works for, where it needs one."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="File of settings, such as steps = 200; flags win.", metavar="TOML"),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda; by default auto.")] = None,
    data_dir: DataDirectory = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
    plugins_dir: Directories = None,
    no_third_party: OwnOnly = False,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder; by default runs/train-<recipe>.")
    ] = None,
) -> None:
    """Train weights by a recipe; its own settings are flags, such as --epochs 3.

    superdef-bench train RECIPE --help shows those of a recipe.
    """
    from superdef_bench.training.train import Choices, train_words

    keep_data_in(data_dir)
    registry = registry_of(plugins_dir, no_third_party)
    files = train_words(
        registry.get("recipe", recipe),
        context.args,
        Choices(data, model, device),
        config=config,
        out=out or Path("runs") / f"train-{recipe}",
        resume=resume,
        registry=registry,
    )
    for path in files:
        say(path)


@app.command("apply", cls=CommandOfDefense, context_settings=_FLAGS)
def apply_command(
    defense: Annotated[str, typer.Argument(help="Input transform.")],
    out: Folder,
    image: Annotated[
        list[str] | None,
        typer.Argument(help="Image files, or folders of them (not what lies deeper)."),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Dataset plugin, its first 16 images.", metavar="NAME"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
    device: Device = "auto",
    seed: Annotated[int, typer.Option(help="Seed of a random defense.")] = 0,
    plugins_dir: Directories = None,
    no_third_party: OwnOnly = False,
) -> None:
    """Run one defense on images, to DIR/photo-jpeg.png; its arguments are flags: --quality 30.

    superdef-bench apply DEFENSE --help shows those of a defense.
    """
    from superdef_bench.apply import apply_words
    from superdef_bench.io.machine import choose_device

    registry, where = registry_of(plugins_dir, no_third_party), choose_device(device)
    apply_words(
        registry.get("defense", defense),
        image or [],
        out,
        dataset=registry.get("dataset", dataset).build() if dataset else None,
        force=force,
        device=where,
        seed=seed,
        report=say,
    )
