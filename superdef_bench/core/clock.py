"""How long the checks of this process took: what integrity costs. No torch."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

_seconds = 0.0
_inside = False


@contextmanager
def checking() -> Iterator[None]:
    """Add the time of the block to what the checks took; a block inside another counts once."""
    global _seconds, _inside
    if _inside:
        yield
        return
    _inside, start = True, time.perf_counter()
    try:
        yield
    finally:
        _seconds, _inside = _seconds + time.perf_counter() - start, False


def seconds_of_checks() -> float:
    """Return the seconds that checks took in this process so far."""
    return _seconds
