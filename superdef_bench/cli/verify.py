"""The command that holds our engines to reference implementations."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from superdef_bench.cli.app import (
    DataDirectory,
    Device,
    Directories,
    OwnOnly,
    app,
    keep_data_in,
    registry_of,
)
from superdef_bench.cli.output import say

_FOLDER = Path("runs/parity")


@app.command("verify")
def verify_command(
    what: Annotated[
        Literal["autoattack"], typer.Argument(help="autoattack: its two engines.", metavar="WHAT")
    ],
    config: Annotated[
        str, typer.Argument(help="Config to take dataset, classifier and ball from.")
    ] = "parity",
    dataset: Annotated[str, typer.Option(help="Dataset instead of the config's.")] = "",
    model: Annotated[str, typer.Option(help="Classifier instead of the config's.")] = "",
    defense: Annotated[str, typer.Option("-d", "--defense", help="Row to attack.")] = "none",
    norm: Annotated[str, typer.Option(help="linf or l2.")] = "",
    eps: Annotated[str, typer.Option(help="Radius, such as 8/255.")] = "",
    limit: Annotated[int | None, typer.Option(help="Images.", min=1)] = None,
    seeds: Annotated[
        int, typer.Option(help="Seeds of the reference: 2 for the noise floor.", min=1, max=2)
    ] = 1,
    alone: Annotated[
        int, typer.Option(help="Each part by itself, too, on so many images.", min=0, metavar="N")
    ] = 0,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder that keeps what was broken.", metavar="DIR")
    ] = _FOLDER,
    page: Annotated[
        Path | None,
        typer.Option(help="Write the page on all cases of the folder.", metavar="FILE"),
    ] = None,
    only_page: Annotated[bool, typer.Option("--only-page", help="Run nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    device: Device = "auto",
    data_dir: DataDirectory = None,
    plugins_dir: Directories = None,
    no_third_party: OwnOnly = False,
) -> None:
    """Run AutoAttack's two engines on the same images; exit with 1 where parity fails.

    What the reference broke is kept, and not run again for the same images.
    """
    from superdef_bench.core.errors import ConfigError
    from superdef_bench.io.files import write_atomically
    from superdef_bench.leaderboard.parity import cases_of, parity_page
    from superdef_bench.results.parity import difference

    if only_page and page is None:
        raise ConfigError("--only-page without --page writes nothing", hint="add --page FILE")
    if only_page and as_json:
        raise ConfigError(
            "--only-page runs nothing that --json could tell", hint="drop one of them"
        )
    if not only_page:
        from superdef_bench.analysis.parity import Wish, verify_autoattack
        from superdef_bench.cli.parity_table import print_json, print_parity
        from superdef_bench.io.machine import choose_device
        from superdef_bench.run.prepare import prepare

        keep_data_in(data_dir)
        registry = registry_of(plugins_dir, no_third_party)
        prepared = prepare(
            config,
            registry,
            choose_device(device),
            dataset=dataset or None,
            model=model or None,
            defenses=[defense],
            norm=norm or None,
            eps=[eps] if eps else [],
            limit=limit,
        )
        wish = Wish(seeds=seeds, alone=alone)
        case, file = verify_autoattack(prepared.benchmark, defense, registry, out, wish)
        (print_json if as_json else print_parity)(case)
        if not as_json:
            say(file)
    if page is not None:
        write_atomically(page, parity_page(cases_of(out)).encode())
        if not as_json:
            say(page)
    if not only_page and not difference(case).holds:
        raise typer.Exit(1)
