"""The command line: parse, call, print."""

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from superdef_bench import __version__
from superdef_bench.errors import ConfigError, InterruptError, SuperdefError
from superdef_bench.places import DATA_VARIABLE

if TYPE_CHECKING:
    from superdef_bench.plugins import Registry

app = typer.Typer(
    name="superdef-bench",
    help="Benchmark input-transformation defenses: gray box and adaptive, on the same images.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_Directories = Annotated[
    list[Path] | None,
    typer.Option("--plugins-dir", help="Also load the plugins of this folder.", metavar="PATH"),
]
_DataDirectory = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Folder of downloads; by default data.", metavar="PATH"),
]
_Folder = Annotated[Path, typer.Option("-o", "--out", help="Folder to write to.", metavar="DIR")]
_Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


def main() -> NoReturn:
    """Run the command line; an error that the user can act on is one line and a hint."""
    try:
        app(prog_name="superdef-bench")
    except SuperdefError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(130 if isinstance(error, InterruptError) else 2) from None
    raise SystemExit(0)


def _registry(directories: list[Path] | None) -> "Registry":
    from superdef_bench.api import use_plugins

    return use_plugins(directories or [])


def _keep_data_in(folder: Path | None) -> None:
    if folder is not None:
        os.environ[DATA_VARIABLE] = str(folder)


def _version(value: bool) -> None:
    if value:
        print(f"superdef-bench {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


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
    device: _Device = "auto",
    seed: Annotated[int | None, typer.Option(help="Seed of all randomness.")] = None,
    eightbit: Annotated[
        bool, typer.Option("--eightbit", help="Score attacked images rounded to 8 bits.")
    ] = False,
    data_dir: _DataDirectory = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print what would run, and stop.")] = False,
    plugins_dir: _Directories = None,
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

    _keep_data_in(data_dir)
    registry = _registry(plugins_dir)
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
    results, outcome = run(benchmark, planned, folder, command=_command())
    publish(results, folder)
    print_ranking(results)
    note = f", {outcome.reused} of them reused" if outcome.reused else ""
    print(f"{outcome.reused + outcome.computed} records{note}: {folder / results.name}.md")
    if outcome.failures:
        print_failures(results)
        raise typer.Exit(1)


def _command() -> str:
    """Return the command as typed, without the folders of this machine."""
    words = ["superdef-bench"]
    for word in sys.argv[1:]:
        option, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
        words.append(option + equals + (Path(value).name if Path(value).is_absolute() else value))
    return shlex.join(words)


@app.command("show")
def show_command(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    image: Annotated[str, typer.Argument(help="Image id, as the records have it.")],
    defense: Annotated[
        list[str] | None, typer.Option("-d", "--defense", help="Only this row; repeatable.")
    ] = None,
    attack: Annotated[
        str, typer.Option("-a", "--attack", help="Of the picture; by default the first.")
    ] = "",
    rung: Annotated[str, typer.Option(help="Of the picture.")] = "gray_box",
    device: _Device = "auto",
    data_dir: _DataDirectory = None,
    plugins_dir: _Directories = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="PNG; by default in the run folder.")
    ] = None,
) -> None:
    """Print what happened to one image of a run, and draw it before and after."""
    from superdef_bench.benchmark import choose_device
    from superdef_bench.one_image import OneImage
    from superdef_bench.show import print_image, write_strip

    _keep_data_in(data_dir)
    found = OneImage(run, image, _registry(plugins_dir), choose_device(device))
    path = out or run / f"{image.replace('/', '_')}.png"
    print_image(found, defense or [])
    write_strip(found, path, attack=attack, rung=rung, defenses=defense or [])
    print(path)


@app.command("list")
def list_command(
    kind: Annotated[
        str, typer.Argument(help="attack, defense, model, dataset or recipe; all by default.")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    plugins_dir: _Directories = None,
) -> None:
    """List the plugins and where each comes from."""
    from superdef_bench.show import print_plugins

    print_plugins(_registry(plugins_dir), kind, as_json=json)


@app.command("check")
def check_command(
    name: Annotated[
        list[str] | None, typer.Argument(help="Plugin, or kind:plugin where a name is not unique.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Check every plugin.")] = False,
    plugins_dir: _Directories = None,
) -> None:
    """Check plugins against their contract; exit with 1 if one breaks it."""
    from superdef_bench.show import print_checks

    if not print_checks(_registry(plugins_dir), name or [], every=every):
        raise typer.Exit(1)


@app.command("leaderboard")
def leaderboard_command(
    results: Annotated[list[Path], typer.Argument(help="Run folders or results files.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder; by default beside the results.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 if the files there are stale.")
    ] = False,
) -> None:
    """Write leaderboards: Markdown, CSV, a picture, and the results behind them."""
    from superdef_bench.leaderboard import publish, stale
    from superdef_bench.results import load_results

    old: list[str] = []
    published: dict[Path, Path] = {}
    for path in results:
        loaded = load_results(path)
        folder = out or (path if path.is_dir() else path.parent)
        first = published.setdefault(folder / loaded.name, path)
        if first != path:
            raise ConfigError(
                f"{first} and {path} are both named {loaded.name!r}",
                hint="publish them into folders of their own",
            )
        if check:
            old += [str(folder / name) for name in stale(loaded, folder)]
        else:
            for written in publish(loaded, folder):
                print(written)
    for name in old:
        print(f"stale: {name}", file=sys.stderr)
    if old:
        print("hint: superdef-bench leaderboard RESULTS writes them again", file=sys.stderr)
        raise typer.Exit(1)


@app.command("train", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train_command(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help="Recipe; see: superdef-bench list recipe.")],
    data: Annotated[str, typer.Option(help="Dataset plugin to train on.")] = "signs",
    device: _Device = "auto",
    data_dir: _DataDirectory = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
    plugins_dir: _Directories = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder; by default runs/train-<recipe>.")
    ] = None,
) -> None:
    """Train weights by a recipe; its own settings are flags, such as --epochs 3."""
    from superdef_bench.arguments import parse_flags
    from superdef_bench.benchmark import choose_device

    _keep_data_in(data_dir)
    plugin = _registry(plugins_dir).get("recipe", recipe)
    train: Any = plugin.build().train
    settings = parse_flags(train, context.args, f"recipe {recipe!r}")
    folder = out or Path("runs") / f"train-{recipe}"
    where = str(choose_device(device))
    for path in train(None, data=data, out=folder, device=where, resume=resume, **settings):
        print(path)


@app.command("new")
def new_command(
    kind: Annotated[str, typer.Argument(help="attack, defense, model, dataset or recipe.")],
    name: Annotated[str, typer.Argument(help="Name of the plugin, such as my_defense.")],
    out: _Folder = Path("my_plugins"),
) -> None:
    """Start a plugin from a template that works, and print what to do next."""
    from superdef_bench.scaffold import write_plugin

    path, commands = write_plugin(kind, name, out)
    print(path, *commands, sep="\n")


@app.command("apply", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def apply_command(
    defense: Annotated[str, typer.Argument(help="Input transform.")],
    image: Annotated[list[str], typer.Argument(help="Image files, or folders of them.")],
    out: _Folder,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
    device: _Device = "auto",
    seed: Annotated[int, typer.Option(help="Seed of a random defense.")] = 0,
    plugins_dir: _Directories = None,
) -> None:
    """Run one defense on images, to PNG; its arguments are flags, such as --quality 30."""
    from superdef_bench.apply import apply_words
    from superdef_bench.benchmark import choose_device

    plugin, where = _registry(plugins_dir).get("defense", defense), choose_device(device)
    apply_words(plugin, image, out, force=force, device=where, seed=seed, report=print)
