"""Run shards in this process, one after the other."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Result = TypeVar("Result")


def run_local(work: Callable[[int], Result], shards: Iterable[int]) -> Iterator[Result]:
    """Yield the result of each shard in order; memory holds one shard at a time."""
    for shard in shards:
        yield work(shard)
