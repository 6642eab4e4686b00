"""Commands that hold engines to reference implementations, and examples to their images."""

from pathlib import Path
from typing import Annotated

import typer

from superdef_bench.cli.app import (
    App,
    DataDirectory,
    Device,
    Directories,
    OwnOnly,
    app,
    keep_data_in,
    registry_of,
)
from superdef_bench.cli.completion import shipped_names
from superdef_bench.cli.output import say

_FOLDER = Path("runs/parity")

verify = App(name="verify", no_args_is_help=True)
app.add_typer(verify)


@verify.callback()
def _verify() -> None:
    """Check AutoAttack's engines against each other, or adversarial examples of others."""


@verify.command("autoattack")
def autoattack_command(
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


@verify.command("submission")
def submission_command(
    file: Annotated[
        Path,
        typer.Argument(help="Examples: a tensor or adv_complete of torch.save, or .safetensors."),
    ],
    config: Annotated[
        str,
        typer.Option(
            help="Config to take images, classifier, ball and rows from.",
            autocompletion=shipped_names,
        ),
    ],
    defense: Annotated[
        list[str] | None,
        typer.Option(
            "-d", "--defense", help="Score this row; repeatable. By default all of the config."
        ),
    ] = None,
    eps: Annotated[str, typer.Option(help="Radius; by default the config's last.")] = "",
    limit: Annotated[
        int | None, typer.Option(help="Images; by default the config's.", min=1)
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Of the draws of random defenses; by default the config's.", min=0),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(help="Results: what becomes of their upper bounds.", metavar="TABLE.json"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    device: Device = "auto",
    data_dir: DataDirectory = None,
    plugins_dir: Directories = None,
    no_third_party: OwnOnly = False,
) -> None:
    """Check and score adversarial examples that somebody made; nothing is attacked.

    Rows are all of the config, or none and those of -d: whoever attacks one may break others.

    The exit code is 0 whichever number comes out, 2 where file, config or table do not fit.
    """
    from superdef_bench.analysis.submission import (
        benchmark_of,
        check_submission,
        score_submission,
    )
    from superdef_bench.analysis.submitted_file import read_submission
    from superdef_bench.analysis.upper_bound import bounds, check_comparable
    from superdef_bench.cli.submission_table import Verified, print_json, print_submission
    from superdef_bench.io.machine import choose_device
    from superdef_bench.results.load import load_results

    submitted = read_submission(file)
    table = None if against is None else load_results(against)
    keep_data_in(data_dir)
    benchmark = benchmark_of(
        config,
        registry_of(plugins_dir, no_third_party),
        choose_device(device),
        defenses=defense or [],
        eps=[eps] if eps else [],
        limit=limit,
        seed=seed,
    )
    if table is not None:
        check_comparable(table, benchmark)
    submission = check_submission(submitted, benchmark)
    rows = score_submission(submission, benchmark)
    found = Verified(
        submission, benchmark, rows, table, bounds(table, rows, benchmark) if table else []
    )
    (print_json if as_json else print_submission)(found)
