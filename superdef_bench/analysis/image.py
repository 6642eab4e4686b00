"""What happened to one image of a run: its records, and the images themselves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from superdef_bench.analysis.run_folder import open_run
from superdef_bench.core.errors import ConfigError, DataError, did_you_mean
from superdef_bench.core.plugins import Registry
from superdef_bench.core.threats import MASKING, is_called
from superdef_bench.io.files import write_atomically
from superdef_bench.io.strips import Panels, draw_strip
from superdef_bench.results.text import eps_text
from superdef_bench.run.cells import SHARD, Cell, Group
from superdef_bench.run.images import eight_bits
from superdef_bench.run.worker import Row


@dataclass(frozen=True)
class Sight:
    """One image before and after an attack and a defense, each `(C, H, W)` in [0, 1].

    Attributes:
        record: Its record.
        clean: The image.
        adversarial: The example.
        defended: What the classifier saw of the example.
        defended_clean: What it would have seen of the image, with the same draw.
        again: Whether the example was made again alone, where it may depend on its batch.
    """

    record: Row
    clean: Tensor
    adversarial: Tensor
    defended: Tensor
    defended_clean: Tensor
    again: bool


class OneImage:
    """An image of a run folder, with all that the run recorded of it.

    Args:
        folder: Run folder.
        image_id: Name of the image in its dataset.
        registry: Plugins.
        device: Where examples that were not kept are made again.

    Raises:
        DataError: The folder has no results, or they were made by other code.
        ConfigError: There is no such image in the run.
    """

    def __init__(
        self, folder: Path, image_id: str, registry: Registry, device: torch.device
    ) -> None:
        self._run = open_run(folder, registry, device)
        self.benchmark = self._run.benchmark
        ids = list(self.benchmark.dataset.ids[: self.benchmark.limit])
        if image_id not in ids:
            raise ConfigError(
                f"run {folder} has no image {image_id!r}",
                hint=did_you_mean(image_id, ids[:1000], more=f"the first is {ids[0]!r}"),
            )
        self.place = ids.index(image_id)
        names = [defense.name for defense in self.benchmark.defenses]
        self._groups = sorted(self._run.plan.groups, key=lambda g: names.index(g.defense.name))
        self._shard = self._run.shard(self.place // SHARD)
        stored = {row["key"]: row for row in self._run.store.of_image(image_id)}
        keys = [self._key(group, cell) for group in self._groups for cell in group.cells]
        self.rows: list[Row] = [stored[key] for key in keys if key in stored]
        if not self.rows:
            raise DataError(
                f"run {folder} has no records of {image_id!r} that this code would make",
                hint="run the config again into the same folder",
            )

    def rows_of(self, defenses: Sequence[str]) -> list[Row]:
        """Return its records behind some defenses, by their names; all where none is named.

        Raises:
            ConfigError: The run has no such row.
        """
        known = dict.fromkeys(row["defense"] for row in self.rows)
        for name in defenses:
            if not any(is_called(row, name) for row in known):
                raise ConfigError(f"the run has no row {name!r}", hint=did_you_mean(name, known))
        return [row for row in self.rows if _is_wanted(row["defense"], defenses)]

    def sights(self, attack: str, rung: str, defenses: Sequence[str]) -> Iterator[Sight]:
        """Yield the image under an attack and rung at its last eps, defense by defense."""
        for group in self._groups:
            title = group.attack.name if group.attack else ""
            wanted = (title, str(group.rung)) == (attack, rung)
            if wanted and _is_wanted(group.defense.name, defenses):
                yield from self._sight(group)

    def _key(self, group: Group, cell: Cell) -> str:
        """Return the key of the image's record in a cell; empty where the cell lacks it."""
        inside = self.place - self._shard.start
        keys = self._run.keys(group, cell, self._shard)
        return keys[inside] if inside < len(keys) else ""

    def _sight(self, group: Group) -> Iterator[Sight]:
        assert group.attack is not None
        shard = self._shard
        known = {row["cell"]: row for row in self.rows}
        cells = [cell for cell in group.cells if cell.key in known]
        if not cells:
            return
        record, place = known[cells[-1].key], self.place - shard.start
        clean, again = shard.images.x[place], False
        if cells[-1].goal == "strength":
            example = self._run.worker.replayed(group, cells[-1], [shard])[0].images[place]
        elif self._wrong(group):
            example = clean  # what is wrong from the start is never attacked
        else:
            cell = self._first_broken(cells, known)
            alone = self._run.worker.attack(group, cell, shard.images.take(torch.tensor([place])))
            example, again = alone.images[0], alone.batch_dependent
        if self.benchmark.config.eightbit:
            example = eight_bits(example, clean)
        seen = [self._seen(group, image) for image in (example, clean)]
        yield Sight(record, clean, example, seen[0], seen[1], again)

    @torch.no_grad()
    def _seen(self, group: Group, image: Tensor) -> Tensor:
        """Return what the classifier sees of an image `(C, H, W)` behind a defense."""
        place = self.place - self._shard.start
        view = group.defense.protected.view("exact")
        with view.draws(self._shard.images.ids[place, None], 1, "score"):
            return view.answer(image[None])[0][0]

    def _wrong(self, group: Group) -> bool:
        """Return whether the defense gets the clean image wrong."""
        rows = (r for r in self.rows if not r["rung"] and r["defense"] == group.defense.name)
        return any(row["success"] for row in rows)

    @staticmethod
    def _first_broken(cells: Sequence[Cell], known: dict[str, dict[str, Any]]) -> Cell:
        """Return the cell that made the example: the first eps that broke the image, or the last.

        What is broken at a smaller eps keeps its example.
        """
        return next((cell for cell in cells if known[cell.key]["success"]), cells[-1])


def _is_wanted(row: str, defenses: Sequence[str]) -> bool:
    return not defenses or any(is_called(row, name) for name in defenses)


def write_strip(
    image: OneImage, path: Path, *, attack: str, rung: str, defenses: Sequence[str]
) -> None:
    """Draw one image under an attack and rung at its last eps, a row of panels per defense."""
    named = image.rows_of(defenses)
    rungs = dict.fromkeys(r["rung"] for r in image.rows if r["rung"] not in ("", MASKING))
    attacked = {row["attack"] for row in named if row["rung"] == rung != MASKING}
    # The first one that counts, where there is one: a corruption says little.
    by_weight = sorted(image.benchmark.attacks, key=lambda built: not built.counted)
    known = [built.name for built in by_weight if built.name in attacked]
    chosen = next((name for name in known if not attack or is_called(name, attack)), "")
    if not chosen:
        where = image.rows[0]["image_id"]
        raise ConfigError(
            f"the run has no records of {where!r} under "
            + " ".join(filter(None, [rung, attack, *defenses])),
            hint=did_you_mean(attack, known) if known else f"rungs: {', '.join(rungs)}",
        )
    names, strip = image.benchmark.task.class_names, []
    for sight in image.sights(chosen, rung, defenses):
        row = sight.record
        says = "failed" if row["prediction"] < 0 else names[row["prediction"]]
        words = f"{row['defense']}, {rung} {chosen} {eps_text(row['eps'])}: {says}"
        words += " (broken)" if row["success"] else ""
        words += "; made again alone, may differ" if sight.again else ""
        seen = sight.defended, sight.defended_clean
        strip.append(Panels(sight.clean, sight.adversarial, *seen, words))
    write_atomically(path, draw_strip(strip))
