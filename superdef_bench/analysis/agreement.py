"""How alike two defenses are: the images they make, and what is then said of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from superdef_bench.analysis.run_folder import RunFolder, open_run
from superdef_bench.benchmark.built import BuiltDefense
from superdef_bench.core.errors import ConfigError, DataError
from superdef_bench.core.plugins import Registry
from superdef_bench.core.threats import CLEAN, Rung
from superdef_bench.io.machine import fix_numerics
from superdef_bench.io.progress import progress_bar
from superdef_bench.nn.quality import psnr
from superdef_bench.results.rows import find_row
from superdef_bench.results.text import eps_text
from superdef_bench.run.cells import Group, Plan
from superdef_bench.run.shard import Shard


@dataclass(frozen=True)
class Alike:
    """How alike two defenses are on one kind of images.

    Attributes:
        what: Clean, or the gray-box attack and eps that made them.
        n: Images.
        agreement: Share of them of which the classifier says the same behind both; what failed
            behind one agrees with nothing.
        compared: The first of them, whose defended images were compared; 0 for none, as where
            the two defenses make images of different sizes.
        identical: Those of them that the two defenses make equal.
        psnr: Mean PSNR in dB between the other ones; None where there are none.
    """

    what: str
    n: int
    agreement: float
    compared: int
    identical: int
    psnr: float | None


def agreement(
    folder: Path, first: str, second: str, *, limit: int, registry: Registry, device: torch.device
) -> tuple[tuple[str, str], Iterator[Alike]]:
    """Return two rows of a run and how alike they are: on clean images and each gray-box attack.

    Labels are those of the run's records. Images are compared on the first `limit` clean ones,
    which both defenses transform again.

    Args:
        folder: Run folder.
        first: AccuracyRow of its table, with or without what stands in brackets.
        second: The other row.
        limit: Images to compare; 0 for none.
        registry: Plugins.
        device: Where to compute.

    Raises:
        ConfigError: There is no such row, or `folder` is a file.
        DataError: The folder lacks records that this code would make.
    """
    if folder.is_file():
        raise ConfigError(
            f"{folder} is a results file: labels are in the records of the run",
            hint=f"name the run folder, such as runs/{folder.stem}",
        )
    run = open_run(folder, registry, device)
    names = find_row(run.results, first), find_row(run.results, second)
    return names, _alike(run, names, limit)


def _alike(run: RunFolder, names: tuple[str, str], limit: int) -> Iterator[Alike]:
    fix_numerics()
    benchmark, shards = run.benchmark, list(run.shards())
    pairs = _groups(run.plan, *names)
    defenses = [next(d for d in benchmark.defenses if d.name == name) for name in names]
    images = _compare_images(defenses, shards, limit, benchmark.config.batch_size)
    failed = {(f.defense, f.attack, f.eps) for f in run.results.failures}
    for one, other in pairs:
        for number, cell in enumerate(one.cells):
            if any((name, cell.attack, cell.threat.eps) in failed for name in names):
                continue
            said = [_predictions(run, group, number, shards) for group in (one, other)]
            n = min(map(len, said))
            clean = one.attack is None
            words = CLEAN if clean else f"gray box, {cell.attack}, {eps_text(cell.threat.eps)}"
            same = (said[0][:n] == said[1][:n]) & (said[0][:n] >= 0)
            yield Alike(words, n, float(same.mean()), *(images if clean else (0, 0, None)))


def _groups(plan: Plan, first: str, second: str) -> list[tuple[Group, Group]]:
    """Return the groups of clean and of replayed images that two defenses share."""
    wanted = [g for g in plan.groups if g.rung in (None, Rung.GRAY_BOX)]
    ones, others = (
        {g.attack.name if g.attack else "": g for g in wanted if g.defense.name == name}
        for name in (first, second)
    )
    return [(one, others[name]) for name, one in ones.items() if name in others]


def _predictions(run: RunFolder, group: Group, number: int, shards: list[Shard]) -> np.ndarray:
    """Return the recorded labels of all images of a group's cell."""
    predictions = []
    for shard in shards:
        table = run.records(group, group.cells[number], shard)
        if table is None:
            cell = group.cells[number]
            asked = f"{cell.rung} {cell.attack}" if cell.rung else CLEAN
            raise DataError(
                f"the run lacks records of {asked} {cell.defense} that this code would make",
                hint="run the config again into the same folder",
            )
        predictions.append(table["prediction"].to_numpy())
    return np.concatenate(predictions)


@torch.no_grad()
def _compare_images(
    defenses: list[BuiltDefense], shards: list[Shard], limit: int, batch_size: int
) -> tuple[int, int, float | None]:
    """Return how many images were compared, how many are identical, and the PSNR of the rest."""
    values = torch.empty(0)
    with progress_bar(limit) as bar:
        for shard in shards:
            count = shard.count(limit)
            for start in range(0, count, batch_size):
                places = slice(start, min(start + batch_size, count))
                x, ids = shard.images.x[places], shard.images.ids[places]
                bar.show("comparing images", f"{shard.start + places.stop}/{limit} images")
                seen = [_seen(defense, x, ids) for defense in defenses]
                if seen[0].shape != seen[1].shape:
                    return 0, 0, None
                values = torch.cat([values, psnr(*seen).cpu()])
                bar.advance(len(x))
    differing = values[torch.isfinite(values)]
    mean = float(differing.mean()) if len(differing) else None
    return len(values), len(values) - len(differing), mean


def _seen(defense: BuiltDefense, x: Tensor, ids: Tensor) -> Tensor:
    view = defense.protected.view("exact")
    with view.draws(ids, 1, "score"):
        return view.answer(x)[0]
