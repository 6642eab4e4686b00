"""A run folder: its results, the benchmark that its config gives here, and what is stored."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import torch
from pydantic import ValidationError
from torch import Tensor

from superdef_bench.benchmark.build import build
from superdef_bench.benchmark.built import Benchmark
from superdef_bench.benchmark.config import Config
from superdef_bench.core.errors import ConfigError, DataError
from superdef_bench.core.plugins import Registry
from superdef_bench.core.threats import is_called
from superdef_bench.results.load import FILE, load_results
from superdef_bench.results.schema import Results
from superdef_bench.run.attack import Examples
from superdef_bench.run.bank.store import Bank
from superdef_bench.run.cells import Cell, Group, Plan
from superdef_bench.run.plan import make_plan
from superdef_bench.run.records import RecordStore
from superdef_bench.run.shard import Shard
from superdef_bench.run.worker import Worker


def open_run(folder: Path, registry: Registry, device: torch.device) -> "RunFolder":
    """Return a run folder whose results are read; the rest is built when it is asked for.

    Args:
        folder: Run folder.
        registry: Plugins.
        device: Where to compute.

    Raises:
        DataError: The folder has no results, or damaged ones.
    """
    return RunFolder(folder, load_results(folder / FILE), registry, device)


@dataclass(frozen=True)
class RunFolder:
    """A run folder, with the benchmark of its config as this code builds it.

    Attributes:
        folder: Where it is.
        results: Its results.
        registry: Plugins.
        device: Where to compute.
    """

    folder: Path
    results: Results
    registry: Registry
    device: torch.device

    @cached_property
    def benchmark(self) -> Benchmark:
        """The benchmark of the config that the results carry.

        Raises:
            ConfigError: A plugin is not there, or does not take such arguments.
            DataError: The config cannot be read, or data or weights are missing.
        """
        layouts = self.results.provenance.layouts
        config = as_recorded(config_of(self.results), self.results, self.registry)
        return build(config, self.registry, self.device, layouts=layouts)

    @cached_property
    def plan(self) -> Plan:
        """Its cells, as this code plans them."""
        return make_plan(self.benchmark)

    @cached_property
    def store(self) -> RecordStore:
        """Its records."""
        return RecordStore(self.folder / "records")

    @cached_property
    def bank(self) -> Bank:
        """Its examples to replay."""
        return Bank(self.folder / "bank")

    @cached_property
    def worker(self) -> Worker:
        """What makes its examples again; those that the bank holds are taken from there."""
        return Worker(self.benchmark, self.bank)

    @cached_property
    def _reader(self) -> Worker:
        """A worker that attacks nothing."""
        return Worker(self.benchmark, _Kept(self.folder / "bank"))

    def shard(self, number: int) -> Shard:
        """Return images of the run, loaded anew."""
        return Shard.load(self.benchmark, number)

    def shards(self) -> Iterator[Shard]:
        """Yield all images of the run, shard by shard."""
        return map(self.shard, range(self.plan.shards))

    def keys(self, group: Group, cell: Cell, shard: Shard) -> list[str]:
        """Return the keys of a cell's records, of the images of a shard that the cell has."""
        count = shard.count(group.n)
        return shard.keys(cell, count, group, self.benchmark.config.batch_size)

    def records(self, group: Group, cell: Cell, shard: Shard) -> pa.Table | None:
        """Return those records in the order of the images, or None if one is missing."""
        return self.store.find(self.keys(group, cell, shard))

    def kept_examples(self, group: Group, cell: Cell, shard: Shard) -> Examples:
        """Return the stored examples of a cell that replays; nothing is attacked again.

        Raises:
            DataError: The bank lacks them.
        """
        return self._reader.replayed(group, cell, [shard])[0]


class _Kept(Bank):
    """A bank from which nothing may be missing."""

    def get(self, key: str) -> dict[str, Tensor]:
        stored = super().get(key)
        if stored is None:
            raise DataError(
                "the run keeps no examples that this code would make",
                hint="run the config again into the same folder",
            )
        return stored


def config_of(results: Results) -> Config:
    """Return the config that a results file carries.

    Raises:
        DataError: It cannot be read.
    """
    try:
        return Config.model_validate(results.config)
    except ConfigError as error:
        raise _unreadable(results, error.message) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "/".join(map(str, first["loc"]))
        raise _unreadable(results, f"{where}: {first['msg']}") from error


def as_recorded(config: Config, results: Results, registry: Registry) -> Config:
    """Return a config whose attacks have every argument that they ran with.

    A default may be another one today. What a file does not record is older than the argument,
    and a plugin whose default is not what it did before says so by `formerly`.
    """
    attacks = []
    for choice in config.attacks:
        plugin = registry.get("attack", choice.plugin)
        facts = next((a for n, a in results.attacks.items() if is_called(n, choice.name)), None)
        recorded = facts.arguments if facts else {}
        ran_with = {**plugin.formerly, **recorded, **choice.arguments}
        takes = {key: ran_with[key] for key in plugin.defaults.keys() & ran_with.keys()}
        attacks.append(choice.model_copy(update={"arguments": {**takes, **choice.arguments}}))
    return config.model_copy(update={"attacks": tuple(attacks)})


def _unreadable(results: Results, why: str) -> DataError:
    return DataError(
        f"{results.name} carries a config that cannot be read: {why}", hint="run the config again"
    )
