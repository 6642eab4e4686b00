"""Origins for the examples that a run keeps, written beside them."""

from functools import cached_property
from pathlib import Path

from superdef_bench.benchmark.built import Benchmark
from superdef_bench.core.fingerprint import fingerprint, sources, tensors
from superdef_bench.run.bank.index import example_file
from superdef_bench.run.bank.origin import Origin, key_of, write_origin
from superdef_bench.run.cells import HARNESS, Cell, Group, Plan, example_key
from superdef_bench.run.shard import Shard


def harness_fingerprint() -> str:
    """Return what stands for the code that attacks: other code looks for other keys."""
    return fingerprint(sources(HARNESS))


class Signer:
    """Says of the examples in a bank what made them.

    Args:
        benchmark: What runs.
        plan: Its cells.
        folder: The bank.
    """

    def __init__(self, benchmark: Benchmark, plan: Plan, folder: Path) -> None:
        self._benchmark, self._folder = benchmark, folder
        # All rows replay the same examples: of each attack, source and radius one cell will do.
        made: dict[str, tuple[Group, Cell]] = {}
        for group in plan.groups:
            if group.attack is None or group.source is None:
                continue
            for cell in group.cells:
                key = example_key(benchmark, group.attack, group.source, cell.threat)
                made.setdefault(key, (group, cell))
        self._made = made

    def sign(self, shard: Shard) -> None:
        """Write the origins that are missing beside the examples of a shard."""
        for made_by, (group, cell) in self._made.items():
            count = shard.attacked(group)
            if count:
                ids, digests = list(shard.names[:count]), list(shard.digests[:count])
                batch = self._batch(group)
                file = example_file(self._folder, key_of(made_by, ids, digests, batch))
                if file.exists() and not file.with_suffix(".json").exists():
                    write_origin(file, self._origin(made_by, group, cell, shard))

    def _batch(self, group: Group) -> int | None:
        assert group.attack is not None
        alone = group.attack.batch_dependent is False
        return None if alone else self._benchmark.config.batch_size

    @cached_property
    def _weights(self) -> str:
        return tensors(self._benchmark.bare.classifier.state_dict())

    def _origin(self, made_by: str, group: Group, cell: Cell, shard: Shard) -> Origin:
        assert group.attack is not None and group.source is not None  # noqa: PT018  # one fact
        task, config, count = self._benchmark.task, self._benchmark.config, shard.attacked(group)
        ids, digests = list(shard.names[:count]), list(shard.digests[:count])
        batch = self._batch(group)
        return Origin(
            key=key_of(made_by, ids, digests, batch),
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
            batch=batch,
            start=shard.start,
            ids=ids,
            labels=shard.images.y[:count].tolist(),
            digests=digests,
        )
