"""How alike two defenses are: the images they make, and what is then said of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from superdef_bench.benchmark import BuiltDefense
from superdef_bench.build import build
from superdef_bench.config import restore
from superdef_bench.errors import ConfigError, DataError
from superdef_bench.formats import eps_text
from superdef_bench.plan import Group, Plan, make_plan
from superdef_bench.plugins import Registry
from superdef_bench.process import fix_numerics
from superdef_bench.progress import progress_bar
from superdef_bench.quality import psnr
from superdef_bench.records import RecordStore
from superdef_bench.results import FILE, load_results
from superdef_bench.shard import Shard
from superdef_bench.types import Rung
from superdef_bench.versus import find_row


@dataclass(frozen=True)
class Alike:
    """How alike two defenses are on one kind of images.

    Attributes:
        what: Clean, or the gray-box attack and eps that made them.
        n: Images.
        agreement: Share of them of which the classifier says the same behind both.
        psnr: Mean PSNR in dB between the two defended images; None where it was not computed,
            infinite where the two are always equal.
    """

    what: str
    n: int
    agreement: float
    psnr: float | None


def agreement(
    folder: Path, first: str, second: str, *, limit: int, registry: Registry, device: torch.device
) -> Iterator[Alike]:
    """Yield how alike two rows of a run are: on clean images, and on each gray-box attack.

    Labels are those of the run's records. Images are compared on the first `limit` clean ones,
    which both defenses transform again.

    Args:
        folder: Run folder.
        first: Row of its table, with or without what stands in brackets.
        second: The other row.
        limit: Images to compare; 0 for none.
        registry: Plugins.
        device: Where to compute.

    Raises:
        ConfigError: There is no such row, or the two make images of different sizes.
        DataError: The folder lacks records that this code would make.
    """
    fix_numerics()
    results = load_results(folder / FILE)
    names = find_row(results, first), find_row(results, second)
    benchmark = build(restore(results.document["config"]), registry, device)
    plan, store = make_plan(benchmark), RecordStore(folder / "records")
    shards = [Shard.load(benchmark, number) for number in range(plan.shards)]
    pairs = _groups(plan, *names)
    defenses = [next(d for d in benchmark.defenses if d.name == name) for name in names]
    alike = _mean_psnr(defenses, shards, limit) if limit else None
    for one, other in pairs:
        for number, cell in enumerate(one.cells):
            said = [
                _predictions(group, number, shards, store, benchmark.config.batch_size)
                for group in (one, other)
            ]
            n = min(map(len, said))
            clean = one.attack is None
            words = "clean" if clean else f"gray box, {cell.attack}, {eps_text(cell.threat.eps)}"
            same = float((said[0][:n] == said[1][:n]).mean())
            yield Alike(words, n, same, alike if clean else None)


def _groups(plan: Plan, first: str, second: str) -> list[tuple[Group, Group]]:
    """Return the groups of clean and of replayed images that two defenses share."""
    wanted = [g for g in plan.groups if g.rung in (None, Rung.GRAY_BOX)]
    ones, others = (
        {g.attack.name if g.attack else "": g for g in wanted if g.defense.name == name}
        for name in (first, second)
    )
    return [(one, others[name]) for name, one in ones.items() if name in others]


def _predictions(
    group: Group, number: int, shards: list[Shard], store: RecordStore, batch_size: int
) -> np.ndarray:
    cell, found = group.cells[number], []
    for shard in shards:
        count = min(len(shard.images), cell.n - shard.start)
        if count <= 0:
            continue
        table = store.find(shard.keys(cell, count, group, batch_size))
        if table is None:
            raise DataError(
                f"the run lacks records of {group.title} that this code would make",
                hint="run the config again into the same folder",
            )
        found.append(table["prediction"].to_numpy())
    return np.concatenate(found)


@torch.no_grad()
def _mean_psnr(defenses: list[BuiltDefense], shards: list[Shard], limit: int) -> float:
    values = []
    with progress_bar(len(shards)) as bar:
        for shard in shards:
            x, ids = (
                part[: max(limit - shard.start, 0)] for part in (shard.images.x, shard.images.ids)
            )
            bar.show("comparing images", f"{shard.start + len(x)}")
            bar.advance(1)
            if not len(x):
                continue
            seen = []
            for defense in defenses:
                view = defense.protected.view("exact")
                with view.draws(ids, 1, "score"):
                    seen.append(view.defend(x))
            if seen[0].shape != seen[1].shape:
                raise ConfigError(
                    f"{defenses[0].name} and {defenses[1].name} make images of different sizes",
                    hint="--limit 0 compares labels alone",
                )
            values.append(psnr(*seen))
    return float(torch.cat(values).mean())
