"""Run a benchmark from Python."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def evaluate(
    config: str | Path,
    *,
    defenses: Sequence[str] = (),
    attacks: Sequence[str] = (),
    rungs: Sequence[str] = (),
    limit: int | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    eightbit: bool = False,
    device: str = "auto",
    plugins_dir: Sequence[str | Path] = (),
    out: str | Path | None = None,
) -> "pd.DataFrame":
    """Run a benchmark as `superdef-bench run` does and return its accuracy rows.

    Args:
        config: TOML file, or the name of a shipped config.
        defenses: Only these; all of the config's where empty.
        attacks: Only these; all of the config's where empty.
        rungs: Only these; all of the config's where empty.
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

    from superdef_bench.core.loader import plugins, use_plugins
    from superdef_bench.io.machine import choose_device
    from superdef_bench.run.prepare import prepare
    from superdef_bench.run.runner import run

    registry = use_plugins([Path(folder) for folder in plugins_dir]) if plugins_dir else plugins()
    prepared = prepare(
        str(config),
        registry,
        choose_device(device),
        defenses=defenses,
        attacks=attacks,
        rungs=rungs,
        limit=limit,
        batch_size=batch_size,
        seed=seed,
        eightbit=eightbit,
    )
    results, _ = run(
        prepared.benchmark,
        prepared.plan,
        Path(out) if out else prepared.folder,
        command=f"evaluate({prepared.path.name!r})",
    )
    return pd.DataFrame(results.document["accuracy"])
