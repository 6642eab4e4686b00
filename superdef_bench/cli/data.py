"""Commands on datasets."""

from typing import Annotated

import typer

from superdef_bench.cli.app import (
    App,
    DataDirectory,
    Directories,
    Folder,
    OwnOnly,
    app,
    keep_data_in,
    registry_of,
)
from superdef_bench.cli.output import say

data = App(name="data", no_args_is_help=True)
app.add_typer(data)


@data.callback()
def _data() -> None:
    """Prepare a subset of a dataset: so many images of each class, in one folder."""


@data.command("prepare")
def prepare_command(
    dataset: Annotated[
        str, typer.Argument(help="Dataset plugin, or a table as in a config: { plugin = ... }.")
    ],
    out: Folder,
    classes: Annotated[
        int, typer.Option(help="The first so many that have enough images; 0 for all.")
    ] = 0,
    named: Annotated[
        list[str] | None,
        typer.Option("--class", help="This class; repeatable, in place of --classes."),
    ] = None,
    train: Annotated[int, typer.Option(help="Training images of each class.")] = 500,
    validation: Annotated[
        int, typer.Option(help="Validation images of each class; 0 for none.")
    ] = 100,
    test: Annotated[int, typer.Option(help="Test images of each class.")] = 100,
    size: Annotated[
        int, typer.Option(help="Height and width in pixels, by bicubic; 0 keeps them.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Of which images are drawn.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Write into a folder in use.")] = False,
    data_dir: DataDirectory = None,
    plugins_dir: Directories = None,
    no_third_party: OwnOnly = False,
) -> None:
    """Write so many images of each class of a dataset, for dataset plugin prepared.

    Training and validation images come from its split train, test images from
    its split test; of a dataset without them all come from its one split. Groups,
    such as the frames of a film, are never split.
    """
    from superdef_bench.subset.prepare import prepare
    from superdef_bench.subset.wish import Wish

    wish = Wish(train, validation, test, classes, named or [], size, seed)
    keep_data_in(data_dir)
    registry_of(plugins_dir, no_third_party)
    done = prepare(dataset, wish, out, force=force)
    height, width, _ = done.shape
    counts = ", ".join(f"{count} {part}" for part, count in done.images.items())
    if done.passed_over:
        say(f"passed over, with too few images: {', '.join(done.passed_over)}")
    say(f"{done.name}, {width}x{height} pixels: {counts}", *done.files)
