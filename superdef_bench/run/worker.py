"""What happens to the images of shards: attacked, scored, and written down."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from superdef_bench.benchmark.built import Benchmark
from superdef_bench.core.clock import checking
from superdef_bench.core.errors import CellError, ContractError
from superdef_bench.core.fingerprint import fingerprint
from superdef_bench.core.threats import NORMS, Rung, Threat
from superdef_bench.core.transform import shows_a_view
from superdef_bench.core.types import distance
from superdef_bench.run.attack import Examples, make_examples
from superdef_bench.run.bank.store import Bank
from superdef_bench.run.cells import Cell, Group, example_key
from superdef_bench.run.images import Images, eight_bits
from superdef_bench.run.probes import ask
from superdef_bench.run.score import Scores, score
from superdef_bench.run.shard import Shard, looks_around

Row = dict[str, Any]


def identity(cell: Cell, key: str) -> Row:
    """Return what a record says of its cell, with the cost of an example that is only kept."""
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
        "draws": cell.draws,
        # What a kept example cost was counted where it was made.
        "forwards": 0.0,
        "backwards": 0.0,
        "seconds": 0.0,
    }


def bits_of(scores: Scores) -> list[str]:
    """Return whether each draw counts as wrong, one character per draw, of each image."""
    return ["".join(str(int(bit)) for bit in draws) for draws in scores.wrong.T.tolist()]


def verdicts(scores: Scores, bits: Sequence[str]) -> list[Row]:
    """Return what records say of the answers to images.

    Args:
        scores: What the classifier said.
        bits: Of each image, as `bits_of` has them.
    """
    columns = {
        "bits": bits,
        "prediction": scores.prediction.tolist(),
        "label_rank": scores.rank.tolist(),
        "success": [2 * each.count("1") > len(each) for each in bits],
        "psnr": scores.psnr.tolist(),
        "ssim": scores.ssim.tolist(),
        "error": scores.errors,
    }
    return _as_rows(columns)


def efforts(examples: Examples | None, count: int) -> list[Row]:
    """Return what records say of what the examples of the first `count` images took."""
    if examples is None:
        return [{"first_step": -1, "batch_dependent": False}] * count
    columns = {
        "forwards": examples.forwards[:count].tolist(),
        "backwards": examples.backwards[:count].tolist(),
        "seconds": examples.seconds[:count].tolist(),
        "first_step": examples.first_step[:count].tolist(),
        "batch_dependent": [examples.batch_dependent] * count,
    }
    return _as_rows(columns)


def _as_rows(columns: Mapping[str, Sequence[Any]]) -> list[Row]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


class Worker:
    """Runs the groups of a plan on shards, one after the other."""

    def __init__(self, benchmark: Benchmark, bank: Bank) -> None:
        self._benchmark, self._bank = benchmark, bank
        self._size = benchmark.config.batch_size
        self._works: set[str] = set()

    def load(self, number: int) -> Shard:
        """Return shard `number`.

        Raises:
            ContractError: The dataset broke its contract.
        """
        owner = f"dataset {self._benchmark.dataset.name!r}"
        with self._benchmark.watch.to(owner, ContractError, draws=True):
            return Shard.load(self._benchmark, number)

    def run(
        self,
        group: Group,
        shards: Sequence[Shard],
        clean: Sequence[Sequence[Row]],
        known: Callable[[Cell, Shard], list[Row] | None],
    ) -> Iterator[tuple[Cell, Shard, list[Row], bool]]:
        """Yield the rows of each cell of a group on each shard, and whether they are new.

        Where examples do not depend on their batch, those of all shards are made together.

        Args:
            group: Cells of one defense, rung and attack, eps ascending.
            shards: The images; the group takes some of each.
            clean: Rows of the defense's clean cell, by shard; empty for that cell itself.
            known: Finds the stored rows of a cell.

        Raises:
            CellError: The attack or the defense raised or broke its contract, or the defense
                failed on every image so far.
        """
        counts = [shard.count(group.n) for shard in shards]
        before = [rows[:count] for rows, count in zip(clean, counts, strict=True)]
        for cell in group.cells:
            found = [known(cell, shard) for shard in shards]
            lacking = [place for place, rows in enumerate(found) if rows is None]
            made = self._made(group, cell, [(shards[p], counts[p], before[p]) for p in lacking])
            for place, shard in enumerate(shards):
                rows = found[place]
                if rows is None:
                    places, examples = made.get(shard.start, (torch.arange(counts[place]), None))
                    rows = self._compute(
                        group, cell, shard, places, examples, clean[place], before[place]
                    )
                self._check_alive(cell, rows)
                yield cell, shard, rows, place in lacking
                before[place] = rows

    def _made(
        self, group: Group, cell: Cell, lacking: Sequence[tuple[Shard, int, Sequence[Row]]]
    ) -> dict[int, tuple[Tensor, Examples | None]]:
        """Return, by the start of a shard, places and their examples; nothing without an attack.

        Args:
            group: What the cell belongs to.
            cell: The cell.
            lacking: Shards, how many of their images it takes, and its rows at a smaller eps.
        """
        if group.attack is None:
            return {}
        if cell.goal == "strength":
            kept = self.replayed(group, cell, [shard for shard, *_ in lacking])
            return {
                shard.start: (torch.arange(count), examples)
                for (shard, count, _), examples in zip(lacking, kept, strict=True)
            }
        # Verdict: what is already broken, at every draw, keeps its example.
        alive = [
            (shard, torch.tensor([i for i, row in enumerate(rows) if "0" in row["bits"]]).long())
            for shard, _, rows in lacking
        ]
        found = self._attacked(group, cell, [(shard, places) for shard, places in alive])
        return {
            shard.start: (places, examples)
            for (shard, places), examples in zip(alive, found, strict=True)
        }

    def _compute(
        self,
        group: Group,
        cell: Cell,
        shard: Shard,
        places: Tensor,
        examples: Examples | None,
        clean: Sequence[Row],
        before: Sequence[Row],
    ) -> list[Row]:
        """Return the rows of a cell on a shard, of the images at `places` and their examples."""
        count = shard.count(group.n)
        keys = shard.keys(cell, count, group, self._size)
        if group.probe:
            return self._asked(group, cell, shard, keys, clean)
        if group.clean or cell.goal == "strength":
            return self._rows(group, cell, shard, places, examples, keys, clean)
        rows = [
            {**row, **identity(cell, key), "target": self._target(group, shard, place)}
            for place, (row, key) in enumerate(zip(before, keys, strict=True))
        ]
        if examples is not None:
            attacked = self._rows(group, cell, shard, places, examples, keys, clean)
            for place, row in zip(places.tolist(), attacked, strict=True):
                # A larger ball has the smaller example in it.
                if row["bits"].count("1") >= rows[place]["bits"].count("1"):
                    rows[place] = row
        return rows

    def _asked(
        self, group: Group, cell: Cell, shard: Shard, keys: Sequence[str], clean: Sequence[Row]
    ) -> list[Row]:
        """Return the records of a question; `success` is a bad answer."""
        images = shard.images.take(torch.arange(len(keys), device=shard.images.x.device))
        with self._benchmark.watch.to(f"defense {cell.defense!r}"):
            bad, error = ask(group.probe, group.defense.protected, group.gradient, images)
        return [
            {**row, **identity(cell, key), "bits": str(int(b)), "success": b, "error": error}
            for row, key, b in zip(clean, keys, bad, strict=False)
        ]

    def _attacked(
        self, group: Group, cell: Cell, parts: Sequence[tuple[Shard, Tensor]]
    ) -> list[Examples | None]:
        """Return examples of the images at places of shards; None where there is no place."""
        images = [shard.images.take(places.to(shard.images.x.device)) for shard, places in parts]
        some = [each for each in images if len(each)]
        attacked = group.source.protected if group.source else group.defense.protected
        assert group.attack is not None
        # What draws by row and call, or looks at its batch, gets each shard alone.
        if len(some) < 2 or looks_around(group.attack) or attacked.stochastic:
            found = [self.attack(group, cell, each) for each in some]
        else:
            whole = self.attack(group, cell, Images.joined(some))
            found = whole.split([len(each) for each in some])
        left = iter(found)
        return [next(left) if len(each) else None for each in images]

    def attack(self, group: Group, cell: Cell, images: Images) -> Examples:
        """Return examples of images, made as the group's rung and goal say."""
        assert group.attack is not None
        config = self._benchmark.config
        attacked = group.source.protected if group.source else group.defense.protected
        # Rounding undoes what fools by a hair, and so do fresh draws and what fools a cheaper view
        # alone: the whole budget.
        whole = config.eightbit or attacked.stochastic or shows_a_view(attacked, group.gradient)
        owner = f"attack {group.attack.name!r}"
        if attacked.stages:  # the code of both runs, and who did it cannot be told
            owner += f" or defense {cell.defense if group.source is None else group.source.name!r}"
        with self._benchmark.watch.to(owner):
            return make_examples(
                group.attack,
                attacked.view(group.gradient),
                images,
                cell.threat,
                "strength" if whole else cell.goal,
                topk=config.topk,
                seed=config.seed,
                batch_size=self._size,
                eot=cell.eot,
                scores_only=group.rung is Rung.BLACK_BOX,
            )

    def replayed(self, group: Group, cell: Cell, shards: Sequence[Shard]) -> list[Examples]:
        """Return examples on the group's source, made once for all defenses: the bank's, or new."""
        keys = [self._example_key(group, cell, shard) for shard in shards]
        lacking = []
        for key, shard in zip(keys, shards, strict=True):
            if key not in shard.examples:
                places = torch.arange(shard.attacked(group))
                clean = shard.images.take(places.to(shard.images.x.device)).x
                found = self._stored(key, clean, cell.threat)
                if found is None:
                    lacking.append((key, shard, places))
                else:
                    shard.examples[key] = found
        made = self._attacked(group, cell, [(shard, places) for _, shard, places in lacking])
        for (key, shard, _), examples in zip(lacking, made, strict=True):
            assert examples is not None, "a group takes some images of each of its shards"
            self._bank.put(key, examples.pack())
            shard.examples[key] = examples
        return [shard.examples[key] for key, shard in zip(keys, shards, strict=True)]

    def _example_key(self, group: Group, cell: Cell, shard: Shard) -> str:
        assert group.attack is not None and group.source is not None  # noqa: PT018  # one fact
        count = shard.attacked(group)
        return fingerprint(
            example_key(self._benchmark, group.attack, group.source, cell.threat),
            list(shard.names[:count]),
            shard.digests[:count],
            self._size if looks_around(group.attack) else "",
        )

    def _stored(self, key: str, clean: Tensor, threat: Threat) -> Examples | None:
        """Return kept examples of the images `clean`; None if there are none that can be used."""
        stored = self._bank.get(key)
        if stored is None:
            return None
        try:
            with checking():
                return Examples.unpack(stored, clean, threat)
        except ContractError as error:
            self._bank.refuse(key, error.message)
            return None

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
        """Score the images at `places` and return their records.

        A targeted example counts only where the defense is right on the clean image: what is
        wrong from the start stays broken.
        """
        config, task = self._benchmark.config, self._benchmark.task
        images = shard.images.take(places.to(shard.images.x.device))
        attacked = images.x if examples is None else examples.images[: len(places)]
        if group.attack is None or not group.attack.aims:
            images = replace(images, target=None)
        if examples is not None and config.eightbit:
            attacked = eight_bits(attacked, images.x)
        with self._benchmark.watch.to(f"defense {cell.defense!r}"):
            scores = score(
                group.defense,
                attacked,
                images,
                task.num_classes,
                topk=config.topk,
                batch_size=self._size,
                draws=cell.draws,
            )
        apart = {norm: distance(images.x, attacked, norm).tolist() for norm in NORMS}
        # An image between two levels may leave a small ball by rounding; nothing else may.
        inside = [far <= cell.threat.limit for far in apart[cell.threat.norm]]
        if not (config.eightbit or all(inside)):
            raise CellError(
                f"{inside.count(False)} examples of {cell.attack!r} are out of the ball"
            )
        bits = bits_of(scores)
        for number, place in enumerate(places.tolist()):
            if clean and clean[place]["success"] and images.target is not None:
                bits[number] = "1" * cell.draws
            elif not inside[number]:
                bits[number] = clean[place]["bits"]
        answers, labels = verdicts(scores, bits), images.y.tolist()
        taken = efforts(examples, len(places))
        rows: list[Row] = []
        for number, place in enumerate(places.tolist()):
            answer = answers[number]
            rows.append(
                {
                    **self._constants(cell, shard, place, labels[number]),
                    "target": self._target(group, shard, place),
                    **identity(cell, keys[place]),
                    **answer,
                    **taken[number],
                    "clean_prediction": (clean[place] if clean else answer)["prediction"],
                    "linf": apart["linf"][number],
                    "l2": apart["l2"][number],
                }
            )
        return rows

    @staticmethod
    def _target(group: Group, shard: Shard, place: int) -> int | None:
        """Return the label that an image is to reach, as its record says it."""
        if shard.images.target is None or group.attack is None or not group.attack.aims:
            return None
        return int(shard.images.target[place])

    def _constants(self, cell: Cell, shard: Shard, place: int, label: int) -> Row:
        task = self._benchmark.task
        return {
            "position": shard.start + place,
            "dataset": task.dataset,
            "image_id": shard.names[place],
            "label": label,
            "model": task.model,
            "defense": cell.defense,
            "seed": self._benchmark.config.seed,
            "topk": self._benchmark.config.topk,
        }

    def _check_alive(self, cell: Cell, rows: Sequence[Row]) -> None:
        """Raise CellError if not one image of the cell got through so far."""
        if any(row["error"] is None for row in rows):
            self._works.add(cell.key)
        elif cell.key not in self._works:
            raise CellError(f"defense {cell.defense!r} failed on every image: {rows[0]['error']}")
