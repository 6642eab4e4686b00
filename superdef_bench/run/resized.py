"""The undefended classifier on the same clean images at another size.

Where a classifier sees images smaller than it was trained on, part of what an enlargement gains is
resolution. How it does at its own size says how much that can be.
"""

from superdef_bench.benchmark.built import Benchmark
from superdef_bench.benchmark.task import classify
from superdef_bench.core.errors import ContractError
from superdef_bench.io.process import check_stopped
from superdef_bench.io.progress import progress_bar
from superdef_bench.results.facts import Resized
from superdef_bench.results.statistics import wilson


def measure_resized(benchmark: Benchmark) -> Resized | None:
    """Return the clean accuracy at the size of `undefended_at`; None where there is none.

    Raises:
        ConfigError: The classifier fails on an image.
    """
    dataset, task, config = benchmark.resized, benchmark.task, benchmark.config
    if dataset is None:
        return None
    n, right = benchmark.limit, 0
    shape: list[int] = []
    with progress_bar(n) as bar:
        for start in range(0, n, config.batch_size):
            places = range(start, min(start + config.batch_size, n))
            check_stopped()
            with benchmark.watch.to(f"dataset {dataset.name!r}", ContractError, draws=True):
                images, labels = dataset.load(places)
            x, y = images.to(benchmark.device), labels.to(benchmark.device)
            shape = list(x.shape[1:])
            logits = classify(benchmark.bare, x, task.model, dataset.name)
            found = logits.topk(config.topk, dim=1).indices == y[:, None]
            right += int(found.any(dim=1).sum())
            size = f"{shape[2]}x{shape[1]}"
            bar.show(f"{task.model} on clean images of {size}", f"{places.stop}/{n} images")
            bar.advance(len(places))
    low, high = wilson(right, n)
    return Resized(
        shape=shape,
        sha256=dataset.sha256,
        n=n,
        correct=right,
        accuracy=round(right / n, 6),
        ci_low=round(low, 6),
        ci_high=round(high, 6),
    )
