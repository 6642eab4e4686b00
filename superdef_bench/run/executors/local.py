"""Run shards in this process, a few at a time."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")


def run_local(work: Callable[[Part], Result], parts: Iterable[Part]) -> Iterator[Result]:
    """Yield the result of each part in order; memory holds the shards of one part at a time."""
    for part in parts:
        yield work(part)
