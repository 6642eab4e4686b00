"""Origins for the examples that a run keeps, written beside them."""

from functools import cached_property
from pathlib import Path

from superdef_bench.benchmark.built import Benchmark
from superdef_bench.core.errors import DataError
from superdef_bench.core.fingerprint import fingerprint, sources, tensors
from superdef_bench.run.bank.index import example_file
from superdef_bench.run.bank.origin import Origin, key_of, read_origin, write_origin
from superdef_bench.run.cells import HARNESS, Cell, Group, Plan, example_key
from superdef_bench.run.shard import Shard


def harness_fingerprint() -> str:
    """Return what stands for the code that attacks: other code looks for other keys."""
    return fingerprint(sources(HARNESS))


class Signer:
    """Knows what a run keeps, and says so beside it.

    Args:
        benchmark: What runs.
        plan: Its cells.
    """

    def __init__(self, benchmark: Benchmark, plan: Plan) -> None:
        self._benchmark = benchmark
        # All rows replay the same examples: of each attack, source and radius one cell will do.
        made: dict[str, tuple[Group, Cell]] = {}
        for group in plan.groups:
            if group.attack is None or group.source is None:
                continue
            for cell in group.cells:
                key = example_key(benchmark, group.attack, group.source, cell.threat)
                made.setdefault(key, (group, cell))
        self._made = made

    def key(self, made_by: str, shard: Shard) -> str | None:
        """Return the key under which the run looks for examples of a shard; None if for none.

        Args:
            made_by: What made them, as `Origin` has it.
            shard: The images.
        """
        if made_by not in self._made:
            return None
        group, _ = self._made[made_by]
        count = shard.attacked(group)
        return key_of(made_by, shard.names[:count], shard.digests[:count], self._batch(group))

    def sign(self, bank: Path, shard: Shard) -> None:
        """Write the origins that are missing, or damaged, beside the examples of a shard."""
        for made_by, (group, cell) in self._made.items():
            key = self.key(made_by, shard)
            if key is None or not shard.attacked(group):
                continue
            file = example_file(bank, key)
            if file.exists() and not _is_said(file):
                write_origin(file, self._origin(key, made_by, group, cell, shard))

    def _batch(self, group: Group) -> int | None:
        assert group.attack is not None
        alone = group.attack.batch_dependent is False
        return None if alone else self._benchmark.config.batch_size

    @cached_property
    def _weights(self) -> str:
        return tensors(self._benchmark.bare.classifier.state_dict())

    def _origin(self, key: str, made_by: str, group: Group, cell: Cell, shard: Shard) -> Origin:
        assert group.attack is not None and group.source is not None  # noqa: PT018  # one fact
        task, config, count = self._benchmark.task, self._benchmark.config, shard.attacked(group)
        return Origin(
            key=key,
            made_by=made_by,
            harness=harness_fingerprint(),
            attack=group.attack.name,
            arguments=dict(group.attack.arguments),
            norm=cell.threat.norm,
            eps=cell.eps,
            radius=cell.threat.eps,
            rung=str(group.source.rung),
            source=group.source.name,
            dataset=task.dataset,
            split=self._benchmark.dataset.split,
            dataset_sha256=task.sha256,
            model=task.model,
            weights=self._weights,
            class_names=list(task.class_names),
            shape=list(task.input_shape),
            seed=config.seed,
            topk=config.topk,
            target=config.target,
            eot=cell.eot,
            batch=self._batch(group),
            start=shard.start,
            ids=list(shard.names[:count]),
            labels=shard.images.y[:count].tolist(),
            digests=list(shard.digests[:count]),
        )


def _is_said(file: Path) -> bool:
    """Return whether what made a file stands beside it; a later version's words stay as well."""
    try:
        return read_origin(file) is not None
    except ValueError:
        return False
    except DataError:
        return True
