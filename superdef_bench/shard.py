"""Everything that happens to the images of one shard."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from superdef_bench.attacking import Examples, make_examples
from superdef_bench.bank import Bank
from superdef_bench.benchmark import Benchmark
from superdef_bench.errors import CellError, ContractError
from superdef_bench.fingerprint import fingerprint
from superdef_bench.plan import SHARD, Cell, Group, example_key
from superdef_bench.rng import image_id
from superdef_bench.scoring import Scores, score
from superdef_bench.types import Goal, Threat, distance

Row = dict[str, Any]


@dataclass
class Shard:
    """A run of images in the dataset's order.

    Attributes:
        names: Image ids as strings.
        digests: Hash of each image and its label.
    """

    start: int
    x: Tensor
    y: Tensor
    ids: Tensor
    names: Sequence[str]
    digests: Sequence[str]
    examples: dict[str, Examples] = field(default_factory=dict)

    @classmethod
    def load(cls, benchmark: Benchmark, number: int) -> "Shard":
        """Load shard `number` onto the benchmark's device."""
        dataset, device = benchmark.dataset, benchmark.device
        start = number * SHARD
        places = range(start, min(start + SHARD, benchmark.limit))
        x, y = dataset.load(places)
        wanted = (len(places), *benchmark.task.input_shape)
        if tuple(x.shape) != wanted or x.dtype != torch.float32:
            raise ContractError(
                f"dataset {dataset.name!r} returned {x.dtype} {tuple(x.shape)}, "
                f"the contract is float32 {wanted}"
            )
        names = [dataset.ids[place] for place in places]
        digests = [
            hashlib.sha256(image.numpy().tobytes() + bytes(str(int(label)), "ascii")).hexdigest()
            for image, label in zip(x, y, strict=True)
        ]
        ids = torch.tensor([image_id(name) for name in names], device=device)
        return cls(start, x.to(device), y.to(device), ids, names, digests)

    def keys(self, cell: Cell, count: int, group: Group, batch_size: int) -> list[str]:
        """Return the keys of a cell's records for the first `count` images."""
        attack, batch = group.attack, ""
        if attack is not None and attack.batch_dependent is not False:
            # An attack that may look at the whole batch gives numbers that belong to this batch.
            together = self.attacked(group) if cell.goal == "strength" else count
            batch = fingerprint(list(self.names[:together]), batch_size)
        images = zip(self.names[:count], self.digests[:count], strict=True)
        return [fingerprint(cell.key, name, digest, batch) for name, digest in images]

    def attacked(self, group: Group) -> int:
        """Return how many images of the shard get examples that are replayed."""
        assert group.attack is not None
        limit = group.attack.limit
        return len(self.x) if limit is None else max(0, min(len(self.x), limit - self.start))


class Worker:
    """Runs the groups of a plan on shards, one after the other."""

    def __init__(self, benchmark: Benchmark, bank: Bank) -> None:
        self._benchmark, self._bank = benchmark, bank
        self._size = benchmark.config.batch_size
        self._works: set[str] = set()

    def run(
        self,
        group: Group,
        shard: Shard,
        clean: Sequence[Row],
        known: Callable[[Cell], list[Row] | None],
    ) -> Iterator[tuple[Cell, list[Row], bool]]:
        """Yield the rows of each cell of a group, and whether they were computed just now.

        Args:
            group: Cells of one defense, rung and attack, eps ascending.
            shard: The images.
            clean: Rows of the defense's clean cell; empty for that cell itself.
            known: Finds the stored rows of a cell.

        Raises:
            CellError: The attack or the defense raised or broke its contract, or the defense
                failed on every image so far.
        """
        count = min(len(shard.x), group.n - shard.start)
        before = clean[:count]
        for cell in group.cells:
            rows = known(cell)
            fresh = rows is None
            if rows is None:
                rows = self._compute(group, cell, shard, count, clean, before)
            self._check_alive(cell, rows)
            yield cell, rows, fresh
            before = rows

    def _compute(
        self,
        group: Group,
        cell: Cell,
        shard: Shard,
        count: int,
        clean: Sequence[Row],
        before: Sequence[Row],
    ) -> list[Row]:
        keys = shard.keys(cell, count, group, self._size)
        if group.attack is None:
            return self._rows(group, cell, shard, torch.arange(count), None, keys, clean)
        if cell.goal == "strength":
            examples = self._replayed(group, cell, shard)
            return self._rows(group, cell, shard, torch.arange(count), examples, keys, clean)
        # Verdict: what is already broken keeps its example.
        alive = torch.tensor(
            [i for i, row in enumerate(before) if not row["success"]], dtype=torch.long
        )
        rows = [{**row, **_identity(cell, key)} for row, key in zip(before, keys, strict=True)]
        if len(alive):
            examples = self._attack(group, cell.threat, "verdict", shard, alive)
            attacked = self._rows(group, cell, shard, alive, examples, keys, clean)
            for place, row in zip(alive.tolist(), attacked, strict=True):
                rows[place] = row
        return rows

    def _attack(
        self, group: Group, threat: Threat, goal: Goal, shard: Shard, places: Tensor
    ) -> Examples:
        assert group.attack is not None
        places = places.to(shard.x.device)
        if goal == "strength":
            view = self._benchmark.bare.view("exact")
        else:
            view = group.defense.protected.view("bpda" if group.rung == "bpda" else "exact")
        return make_examples(
            group.attack,
            view,
            shard.x[places],
            shard.y[places],
            shard.ids[places],
            threat,
            goal,
            seed=self._benchmark.config.seed,
            batch_size=self._size,
        )

    def _replayed(self, group: Group, cell: Cell, shard: Shard) -> Examples:
        """Return examples on the bare classifier, made once for all defenses."""
        assert group.attack is not None
        count = shard.attacked(group)
        key = fingerprint(
            example_key(self._benchmark, group.attack, cell.threat),
            list(shard.names[:count]),
            shard.digests[:count],
            self._size,
        )
        if key not in shard.examples:
            stored = self._bank.get(key)
            if stored:
                shard.examples[key] = Examples.unpack(stored, shard.x.device)
            else:
                made = self._attack(group, cell.threat, "strength", shard, torch.arange(count))
                shard.examples[key] = made
                self._bank.put(key, made.pack())
        return shard.examples[key]

    def _rows(
        self,
        group: Group,
        cell: Cell,
        shard: Shard,
        places: Tensor,
        examples: Examples | None,
        keys: Sequence[str],
        clean: Sequence[Row],
    ) -> list[Row]:
        """Score the images at `places` and return their records."""
        where = places.to(shard.x.device)
        x, y = shard.x[where], shard.y[where]
        images = x if examples is None else examples.images[: len(places)]
        scores = score(
            group.defense,
            images,
            x,
            y,
            shard.ids[where],
            self._benchmark.task.num_classes,
            batch_size=self._size,
        )
        linf, l2 = (distance(x, images, norm).tolist() for norm in ("linf", "l2"))
        return [
            {
                **self._constants(cell, shard, place),
                **_identity(cell, keys[place]),
                **_verdict(scores, number),
                **_effort(examples, number),
                "clean_prediction": clean[place]["prediction"]
                if clean
                else int(scores.prediction[number]),
                "linf": linf[number],
                "l2": l2[number],
            }
            for number, place in enumerate(places.tolist())
        ]

    def _constants(self, cell: Cell, shard: Shard, place: int) -> Row:
        task = self._benchmark.task
        return {
            "position": shard.start + place,
            "dataset": task.dataset,
            "image_id": shard.names[place],
            "label": int(shard.y[place]),
            "model": task.model,
            "defense": cell.defense,
            "seed": self._benchmark.config.seed,
            "topk": 1,
            "draws": 1,
        }

    def _check_alive(self, cell: Cell, rows: Sequence[Row]) -> None:
        """Raise CellError if not one image of the cell got through so far."""
        if any(row["error"] is None for row in rows):
            self._works.add(cell.key)
        elif cell.key not in self._works:
            raise CellError(f"defense {cell.defense!r} failed on every image: {rows[0]['error']}")


def _identity(cell: Cell, key: str) -> Row:
    return {
        "key": key,
        "cell": cell.key,
        "rung": cell.rung,
        "source": cell.source,
        "attack": cell.attack,
        "goal": cell.goal,
        "norm": cell.threat.norm,
        "eps": cell.threat.eps,
        "settings": cell.settings,
        # What a kept example cost was counted where it was made.
        "forwards": 0.0,
        "backwards": 0.0,
        "seconds": 0.0,
    }


def _verdict(scores: Scores, number: int) -> Row:
    broken = bool(scores.broken[number])
    return {
        "bits": str(int(broken)),
        "prediction": int(scores.prediction[number]),
        "label_rank": int(scores.rank[number]),
        "success": broken,
        "psnr": float(scores.psnr[number]),
        "ssim": float(scores.ssim[number]),
        "error": scores.errors[number],
    }


def _effort(examples: Examples | None, number: int) -> Row:
    if examples is None:
        return {"first_step": -1, "batch_dependent": False}
    return {
        "forwards": float(examples.forwards[number]),
        "backwards": float(examples.backwards[number]),
        "seconds": float(examples.seconds[number]),
        "first_step": int(examples.first_step[number]),
        "batch_dependent": examples.batch_dependent,
    }
