"""Run a benchmark from Python: that of a config, or of a classifier in hand."""

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from superdef_bench.core.errors import InterruptError

if TYPE_CHECKING:
    import pandas as pd

    from superdef_bench.benchmark.keywords import Keys
    from superdef_bench.core.plugins import Registry
    from superdef_bench.results.facts import Masking
    from superdef_bench.results.ranking import Standing
    from superdef_bench.results.schema import Results


def evaluate(
    config: str | Path,
    *,
    defenses: Sequence[str] = (),
    attacks: Sequence[str] = (),
    rungs: Sequence[str] = (),
    model: str | None = None,
    dataset: str | None = None,
    norm: str | None = None,
    eps: Sequence[str] = (),
    limit: int | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    eightbit: bool = False,
    device: str = "auto",
    plugins_dir: str | Path | Sequence[str | Path] = (),
    out: str | Path | None = None,
) -> "pd.DataFrame":
    """Run a benchmark as `superdef-bench run` does and return its accuracy rows.

    Args:
        config: TOML file, or the name of a shipped config.
        defenses: Only these; all of the config's where empty.
        attacks: Only these; all of the config's where empty.
        rungs: Only these; all of the config's where empty.
        model: Classifier to attack in place of the config's, by name.
        dataset: Dataset in place of the config's, by name.
        norm: `linf` or `l2`, in place of the config's; give `eps`, too.
        eps: Radii in place of the config's, such as `["2/255", "8/255"]`.
        limit: Images.
        batch_size: Images at once.
        seed: Seed of all randomness.
        eightbit: Score attacked images after rounding them to 8 bits.
        device: `auto`, `cpu` or `cuda`.
        plugins_dir: Folders with plugins of your own.
        out: Run folder; by default `runs/<config>`. What it holds is not run again.

    Returns:
        One row per accuracy row of results.json, see docs/results-format.md.

    Raises:
        ConfigError: A name, argument or size does not fit.
        DataError: Data or weights are missing or damaged.
    """
    import pandas as pd

    from superdef_bench.io.machine import choose_device
    from superdef_bench.run.prepare import prepare
    from superdef_bench.run.runner import run

    prepared = prepare(
        str(config),
        _registry(plugins_dir),
        choose_device(device),
        out=Path(out) if out else None,
        defenses=defenses,
        attacks=attacks,
        rungs=rungs,
        model=model,
        dataset=dataset,
        norm=norm,
        eps=eps,
        limit=limit,
        batch_size=batch_size,
        seed=seed,
        eightbit=eightbit,
    )
    results, _ = run(
        prepared.benchmark,
        prepared.plan,
        prepared.folder,
        command=f"evaluate({prepared.path.name!r})",
        plugins_dir=_named(plugins_dir),
    )
    return pd.DataFrame(results.document["accuracy"])


def evaluate_model(
    model: object,
    dataset: object,
    *,
    defenses: Sequence[object] = (),
    attacks: Sequence[object] = ("pgd",),
    eps: float | str | Sequence[float | str] | None = None,
    name: str = "evaluation",
    device: str = "auto",
    plugins_dir: str | Path | Sequence[str | Path] = (),
    out: str | Path | None = None,
    **keys: "Unpack[Keys]",
) -> "Evaluation":
    """Run a benchmark of a classifier that the caller has in hand, or of a plugin.

    What is not live is the name of a plugin or `(name, arguments)`, the arguments as a config has
    them. A live object is called after its class, or `(name, object)`. It is used as it is, not
    copied, and comes back as it was: mode, device, and what asks for a gradient.

    Args:
        model: A `torch.nn.Module` that maps images `(N, C, H, W)` in [0, 1] to logits `(N, K)`,
            or a plugin.
        dataset: A pair of tensors, images floating point `(N, C, H, W)` in [0, 1] and labels
            `(N,)` from 0 to K - 1; an object with the contract of a dataset; or a plugin.
        defenses: Plugins and live ones: an `InputTransform`, or anything that has `protect`.
        attacks: Plugins, presets and live ones, with the contract of an attack.
        eps: A radius, such as `8/255` or `"8/255"`, or a list of rising ones; the last ranks.
        name: Of the benchmark: what its files are called.
        device: `auto`, `cpu` or `cuda`.
        plugins_dir: Folders with plugins of your own.
        out: Run folder. What it holds of this process is not run again; without one the records
            live as long as the result.
        keys: Every other key of a config by its name: `rungs`, `limit`, `limits`, `batch_size`,
            `seed`, `norm`, `topk`, `target`, `eightbit`, `eot`, `draws`, `masking`,
            `cell_seconds`, `undefended_at`, and `surrogates`, which may be live classifiers too.

    Returns:
        The tables, and where to put them.

    Raises:
        ConfigError: A name, type, argument or size does not fit.
        PluginError: What is given cannot be built.
        DataError: Data or weights are missing or damaged.
        InterruptError: Ctrl-C; with `out` the same call goes on where it stopped.
    """
    from superdef_bench.benchmark.build import build
    from superdef_bench.benchmark.keywords import Call
    from superdef_bench.benchmark.live import LiveRows, plain, text
    from superdef_bench.benchmark.unharmed import unharmed
    from superdef_bench.io.machine import choose_device
    from superdef_bench.leaderboard.publish import check_name
    from superdef_bench.run.manifest import kept_layouts
    from superdef_bench.run.plan import make_plan
    from superdef_bench.run.runner import run

    call = Call(model, dataset, defenses, attacks, eps, name, keys)
    where = choose_device(text("device", device))
    rows = LiveRows(_registry(plain("plugins_dir", plugins_dir)), where)
    config = call.config(rows)
    check_name(config.name)
    given = None if out is None else Path(text("out", out))
    temporary = None if given else Path(tempfile.mkdtemp(prefix="superdef-bench-"))
    folder = given or Path(str(temporary)) / config.name
    try:
        with unharmed(rows.objects):
            benchmark = build(config, rows.registry, where, layouts=kept_layouts(folder))
            command = f"evaluate_model({config.model.name}, {config.dataset.name})"
            results, _ = run(
                benchmark,
                make_plan(benchmark),
                folder,
                command=command,
                plugins_dir=_named(plugins_dir),
            )
    except BaseException as error:
        if temporary is None:
            raise
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, InterruptError):
            raise InterruptError(
                "stopped: nothing is kept", hint="with out=FOLDER the same call goes on from there"
            ) from error
        raise
    return Evaluation(results, folder, temporary)


def _registry(folders: str | Path | Sequence[str | Path]) -> "Registry":
    from superdef_bench.core.loader import plugins, use_plugins

    return use_plugins(_named(folders)) if folders else plugins()


def _named(folders: str | Path | Sequence[str | Path]) -> list[str | Path]:
    """Return folders in a list; one alone is a list of one, as where they are loaded."""
    return [folders] if isinstance(folders, str | Path) else list(folders)


class Evaluation:
    """A benchmark of a classifier that was run: its tables, and where to put them.

    In a notebook it shows as the ranking; `print` gives the same as text.
    """

    def __init__(self, results: "Results", folder: Path, temporary: Path | None) -> None:
        self._results, self._folder = results, folder
        if temporary is not None:
            self._finalizer = weakref.finalize(self, shutil.rmtree, temporary, ignore_errors=True)

    @property
    def results(self) -> dict[str, Any]:
        """The document of results.json, see docs/results-format.md."""
        return self._results.document

    @property
    def table(self) -> "pd.DataFrame":
        """The accuracy rows, as `evaluate` returns them."""
        import pandas as pd

        return pd.DataFrame(self.results["accuracy"])

    @property
    def ranking(self) -> "pd.DataFrame":
        """The defenses in their order; accuracies from 0 to 1, at the last eps."""
        import pandas as pd

        return pd.DataFrame(
            {
                "defense": standing.defense,
                "rank": standing.rank,
                "clean": standing.clean and standing.clean.accuracy,
                "gray_box": standing.gray and standing.gray.accuracy,
                "adaptive": standing.adaptive and standing.adaptive.accuracy,
                "illusion_gap": standing.illusion,
                "median_eps": standing.median_eps,
                "masking": self.masking[standing.defense].verdict,
            }
            for standing in self._standings
        )

    @property
    def masking(self) -> "Mapping[str, Masking]":
        """How the gradient of each row was judged: its `verdict`, and `checks` with evidence."""
        return {name: facts.masking for name, facts in self._results.defenses.items()}

    @property
    def failures(self) -> list[str]:
        """The cells that gave no number, and why, a line each."""
        from superdef_bench.leaderboard.notes import failures

        return list(failures(self._results))

    def save(self, folder: str | Path) -> Path:
        """Write an ordinary run folder: results, records and leaderboard; return it.

        Args:
            folder: A new or empty one.

        Raises:
            DataError: It holds something, or cannot be written.
        """
        from superdef_bench.leaderboard.publish import publish
        from superdef_bench.run.save import save_run

        publish(save_run(self._folder, self._results, Path(folder)), Path(folder))
        return Path(folder)

    def leaderboard(self, folder: str | Path) -> list[Path]:
        """Publish into a folder as `superdef-bench leaderboard -o` does; return the files.

        Raises:
            DataError: What is published there under the name cannot be read.
        """
        from superdef_bench.leaderboard.index import publish_all

        return publish_all({Path(folder) / self._results.name: self._results})

    @property
    def _standings(self) -> "Sequence[Standing]":
        from superdef_bench.results.ranking import rank

        return rank(self._results)

    def __repr__(self) -> str:
        from superdef_bench.leaderboard.tables import ranking_table
        from superdef_bench.results.table import to_markdown

        table = ranking_table(self._results, self._standings)
        return "\n".join([*to_markdown(table), *self.failures]).rstrip()

    def _repr_html_(self) -> str:
        from superdef_bench.leaderboard.site.notebook import notebook

        return notebook(self._results)
