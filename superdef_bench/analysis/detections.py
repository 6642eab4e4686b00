"""What the detectors of gated rows stop of a run's images, and what that saves."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from superdef_bench.analysis.run_folder import RunFolder, open_run
from superdef_bench.benchmark.built import BuiltDefense
from superdef_bench.core.errors import ConfigError
from superdef_bench.core.plugins import Registry
from superdef_bench.core.threats import CLEAN, UNDEFENDED, Rung
from superdef_bench.core.transform import Protected
from superdef_bench.io.machine import fix_numerics
from superdef_bench.io.progress import progress_bar
from superdef_bench.measure.work import work_of
from superdef_bench.nn import GatedClassifier, roc_area
from superdef_bench.run.cells import Cell, Group
from superdef_bench.run.images import eight_bits


@dataclass(frozen=True)
class Kind:
    """Images of one kind: clean ones, or those of an attack on the bare classifier at a radius."""

    name: str
    eps: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.eps}".strip()


@dataclass(frozen=True)
class Detections:
    """What one row's detector says.

    Attributes:
        row: Name of the row.
        scores: Of every image, `(M,)`, by kind, clean ones first; more than 0 is stopped.
        passing: Giga multiply-accumulates of detector and classifier for an image that passes.
        stopped: Those of detector, defense and classifier for one that is stopped.
        always: Those of defense and classifier without a detector.
    """

    row: str
    scores: Mapping[Kind, Tensor]
    passing: float
    stopped: float
    always: float

    def share(self, kind: Kind) -> float:
        """Return the share of images of a kind that is stopped."""
        return float((self.scores[kind] > 0).double().mean())

    def area(self, kind: Kind) -> float:
        """Return the area under the ROC curve that tells a kind from clean images."""
        return roc_area(self.scores[Kind(CLEAN)], self.scores[kind])

    def curve(self, kind: Kind) -> list[tuple[float, float]]:
        """Return the ROC curve: shares of clean and attacked images above each threshold."""
        clean, attacked = self.scores[Kind(CLEAN)], self.scores[kind]
        thresholds = torch.cat([clean, attacked]).unique().flip(0)
        points = [(0.0, 0.0)]
        for threshold in thresholds:
            shares = [float((s >= threshold).double().mean()) for s in (clean, attacked)]
            points.append((shares[0], shares[1]))
        return points

    def mean(self, kind: Kind) -> float:
        """Return the mean giga multiply-accumulates of an image of a kind."""
        share = self.share(kind)
        return share * self.stopped + (1 - share) * self.passing


def detections_in(
    folder: Path, *, registry: Registry, device: torch.device
) -> tuple[str, list[Detections]]:
    """Return the name of a run, and what each of its detectors says of its images.

    Attacked are the images of the run's gray box: examples made on the bare classifier, which
    the run keeps. Nothing is attacked again.

    Args:
        folder: Run folder, with its bank.
        registry: Plugins.
        device: Where to compute.

    Raises:
        ConfigError: The run has no row with a detector, or no gray box.
        DataError: The folder has no results or examples.
    """
    fix_numerics()
    run = open_run(folder, registry, device)
    rows = [d for d in run.benchmark.defenses if isinstance(d.protected, GatedClassifier)]
    if not rows:
        raise ConfigError(
            f"{run.benchmark.config.name} has no row with a detector",
            hint='write gated_mustafa = { chain = ["gated", "mustafa"] } into its [defenses]',
        )
    if not any(_attacks(run)):
        raise ConfigError(
            f"{run.benchmark.config.name} attacks nothing in gray box",
            hint='give it rungs = ["gray_box", ...]',
        )
    scores: dict[str, dict[Kind, list[Tensor]]] = {row.name: {} for row in rows}
    kinds = 1 + sum(len(group.cells) for group in _attacks(run))
    with progress_bar(kinds) as bar:
        for kind, batches in _images(run):
            bar.show("asking the detectors", str(kind))
            for batch in batches:
                for row in rows:
                    assert isinstance(row.protected, GatedClassifier)
                    with torch.no_grad():
                        found: Tensor = row.protected.detector(batch)
                    scores[row.name].setdefault(kind, []).append(found.cpu())
            bar.advance(1)
    return run.benchmark.config.name, [
        _row(run, row, {kind: torch.cat(parts) for kind, parts in scores[row.name].items()})
        for row in rows
    ]


def _row(run: RunFolder, row: BuiltDefense, scores: Mapping[Kind, Tensor]) -> Detections:
    gated = row.protected
    assert isinstance(gated, GatedClassifier)
    parts = (run.benchmark.bare, Protected((), gated.detector), gated)
    shape = (1, *run.benchmark.task.input_shape)
    bare, asked, stopped = (
        work_of(part, shape, device=run.device)["pipeline"].gmac for part in parts
    )
    return Detections(row.name, scores, asked + bare, stopped, stopped - asked)


def _attacks(run: RunFolder) -> Iterator[Group]:
    """Yield what attacks the bare classifier in gray box."""
    for group in run.plan.groups:
        if group.defense.name == UNDEFENDED and group.rung is Rung.GRAY_BOX and group.attack:
            yield group


def _kind(group: Group, cell: Cell) -> Kind:
    assert group.attack is not None
    return Kind(group.attack.name, cell.eps)


def _images(run: RunFolder) -> Iterator[tuple[Kind, Iterator[Tensor]]]:
    """Yield clean images shard by shard, then those of each attack and radius."""
    yield Kind(CLEAN), (shard.images.x for shard in run.shards())
    for group in _attacks(run):
        for cell in group.cells:
            yield _kind(group, cell), _examples(run, group, cell)


def _examples(run: RunFolder, group: Group, cell: Cell) -> Iterator[Tensor]:
    for shard in run.shards():
        count = shard.attacked(group)
        if not count:
            return
        attacked = run.kept_examples(group, cell, shard).images
        if run.benchmark.config.eightbit:
            attacked = eight_bits(attacked, shard.images.x[:count])
        yield attacked
