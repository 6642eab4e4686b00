"""Run a plan shard by shard, keep every record, and write the results."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

from superdef_bench.benchmark.built import Benchmark
from superdef_bench.core.errors import CellError, InterruptError
from superdef_bench.io.allocator import keep_freed_memory
from superdef_bench.io.files import portable
from superdef_bench.io.machine import fix_numerics
from superdef_bench.io.process import check_stopped, stoppable
from superdef_bench.io.progress import progress_bar
from superdef_bench.measure.run_costs import check_kept, costs_in
from superdef_bench.results.aggregate import COLUMNS
from superdef_bench.results.load import FILE
from superdef_bench.results.schema import Results
from superdef_bench.run.bank.sign import Signer
from superdef_bench.run.bank.store import Bank
from superdef_bench.run.cells import SHARD, Cell, Group, Plan
from superdef_bench.run.claim import BANK, RECORDS, Claim, claim
from superdef_bench.run.document import describe
from superdef_bench.run.executors import run_local
from superdef_bench.run.likely import likely_passes
from superdef_bench.run.manifest import write_manifest
from superdef_bench.run.records import Outcome, RecordStore, to_table
from superdef_bench.run.resized import measure_resized
from superdef_bench.run.shard import Shard
from superdef_bench.run.worker import Row, Worker

_MOST_KEPT = 2**30  # bytes of images and examples of the shards at work


def run(
    benchmark: Benchmark,
    plan: Plan,
    out: Path,
    *,
    command: str,
    plugins_dir: Sequence[str | Path] = (),
    publish: Callable[[Results, Path], object] | None = None,
) -> tuple[Results, Outcome]:
    """Run everything that the folder `out` does not hold yet, and write `out/results.json`.

    Args:
        benchmark: What is run.
        plan: Its cells.
        out: Run folder.
        command: What the results say they were made by.
        plugins_dir: Folders of plugins, as the caller named them; the run folder remembers them.
        publish: Writes the leaderboard into the folder, while no other run may write there.

    Raises:
        InterruptError: Ctrl-C or SIGTERM; the same call goes on where it stopped.
        DataError: The folder cannot be used, is used by another run, or has gone.
    """
    start = time.perf_counter()
    with claim(out) as claimed:
        check_kept(out)
        write_manifest(benchmark, out, command, plugins_dir)
        outcome = _compute(benchmark, plan, claimed)
        seconds = time.perf_counter() - start
        costs = costs_in(out, benchmark)
        resized = measure_resized(benchmark)
        results = describe(
            benchmark,
            plan,
            outcome,
            costs,
            resized,
            command=command,
            folder=portable(out),
            seconds=seconds,
        )
        claimed.check()
        results.save(out / FILE)
        if publish:
            publish(results, out)
        claimed.check()
    return results, outcome


def compute(benchmark: Benchmark, plan: Plan, out: Path) -> Outcome:
    """Make the records of a plan that the folder `out` does not hold yet.

    Raises:
        InterruptError: Ctrl-C or SIGTERM; the same call goes on where it stopped.
        DataError: The folder cannot be used, is used by another run, or has gone.
    """
    with claim(out) as claimed:
        return _compute(benchmark, plan, claimed)


class _HeldBank(Bank):
    """The bank of a run folder that this process writes."""

    def __init__(self, claimed: Claim) -> None:
        super().__init__(claimed.folder / BANK)
        self._claimed = claimed

    def put(self, key: str, tensors: dict[str, Tensor]) -> None:
        """Store tensors under `key`, unless the folder has gone."""
        self._claimed.check()
        super().put(key, tensors)


def _compute(benchmark: Benchmark, plan: Plan, claimed: Claim) -> Outcome:
    out = claimed.folder
    fix_numerics()
    keep_freed_memory()
    store = RecordStore(out / RECORDS, claimed.check)
    worker, signer = Worker(benchmark, _HeldBank(claimed)), Signer(benchmark, plan)
    outcome = Outcome()
    weights = {id(group): _work(benchmark, group) for group in plan.groups}
    with progress_bar(plan.shards * sum(weights.values())) as bar, stoppable():

        def work(numbers: range) -> None:
            shards = [worker.load(number) for number in numbers]
            clean: dict[tuple[str, int], list[Row]] = {}
            for group in plan.groups:
                bar.show(group.title, shards[0].span(group.n, shards[-1]))
                check_stopped()
                if group.cells[0].key not in plan.refused:
                    _run_group(group, shards, worker, store, clean, outcome, benchmark)
                bar.advance(len(shards) * weights[id(group)])
            for shard in shards:
                signer.sign(out / BANK, shard)

        step = _shards_at_once(benchmark, plan)
        starts = range(0, plan.shards, step)
        try:
            for _ in run_local(work, (range(n, min(n + step, plan.shards)) for n in starts)):
                pass
        except KeyboardInterrupt as error:
            claimed.check()
            done = outcome.reused + outcome.computed
            total = sum(cell.n for cell in plan.cells)
            raise InterruptError(
                f"stopped after {done} of {total} records, all kept in {out}",
                hint="the same command goes on from there",
            ) from error
    store.compact()
    return outcome


def _shards_at_once(benchmark: Benchmark, plan: Plan) -> int:
    """Return how many shards a batch holds, as far as memory bears what they keep to replay."""
    kept = {
        (group.source.name, cell.attack, cell.threat)
        for group in plan.groups
        for cell in group.cells
        if group.source is not None
    }
    shard = SHARD * math.prod(benchmark.task.input_shape) * 4 * (1 + len(kept))  # bytes
    return max(1, min(benchmark.config.batch_size // SHARD, _MOST_KEPT // shard))


def _work(benchmark: Benchmark, group: Group) -> float:
    """Return how long a group's share of a shard should be on the bar."""
    n, forwards, backwards = likely_passes(benchmark, group)
    scored = group.n * len(group.cells) * group.cells[0].draws
    return (n * (forwards + 2 * backwards) + scored) * max(group.defense.seconds, 1e-6)


def _run_group(
    group: Group,
    shards: Sequence[Shard],
    worker: Worker,
    store: RecordStore,
    clean: dict[tuple[str, int], list[Row]],
    outcome: Outcome,
    benchmark: Benchmark,
) -> None:
    """Run the cells of a group on shards; a failure is noted and the cell not tried again.

    Args:
        group: The cells.
        shards: The images.
        worker: Computes.
        store: Holds and gets records.
        clean: Clean rows by defense and start of the shard; gets those of a clean group.
        outcome: Gets what came out.
        benchmark: The benchmark.
    """
    shards = [shard for shard in shards if shard.count(group.n)]
    pending = [cell for cell in group.cells if cell.key not in outcome.failures]
    if not shards or len(pending) < len(group.cells):
        return
    row = group.defense.name
    if not group.clean and any((row, shard.start) not in clean for shard in shards):
        why = f"defense {row!r} failed on the clean images"
        outcome.failures.update({cell.key: why for cell in pending})
        return

    def known(cell: Cell, shard: Shard) -> list[Row] | None:
        count = shard.count(group.n)
        keys = shard.keys(cell, count, group, benchmark.config.batch_size)
        table = store.find(keys)
        return None if table is None else table.to_pylist()

    rights = [clean.get((row, shard.start), []) for shard in shards]
    try:
        for cell, shard, found, fresh in worker.run(group, shards, rights, known):
            rows = store.append(found) if fresh else found
            outcome.tables.setdefault(cell.key, []).append(to_table(rows).select(COLUMNS))
            outcome.computed += len(rows) * fresh
            outcome.reused += len(rows) * (not fresh)
            if group.clean:
                clean[row, shard.start] = rows
            if shard is shards[-1]:
                pending.remove(cell)
    except CellError as error:
        outcome.failures.update({cell.key: error.message for cell in pending})
