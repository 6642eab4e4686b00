"""How fast this machine is right now, so that a bound in seconds means the same on a slow one."""

import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

_AT_REST = 0.1  # seconds of a processor to start Python and import typer
_TRIES = 6  # other work on the machine only adds to what something takes


def takes(work: Callable[[], object], *, at_most: float) -> bool:
    """Return whether some work needs no more than so many seconds of a processor.

    Seconds are those of a machine at rest that starts Python and typer in a tenth of one; a faster
    machine is held to the same. The machine's speed changes from one second to the next: work
    and such a start take turns, and the least that either took counts.
    """
    seconds, slowdowns = list[float](), list[float]()
    for _ in range(_TRIES):
        seconds.append(_computed(work))
        slowdowns.append(_slowdown())
        if min(seconds) < at_most * min(slowdowns):
            return True
    return False


def _computed(work: Callable[[], object]) -> float:
    """Return the seconds that work computed, in this process and its children."""
    start = _clock()
    work()
    return _clock() - start


def _clock() -> float:
    used = os.times()
    return time.process_time() + used.children_user + used.children_system


def _slowdown() -> float:
    def start() -> None:
        subprocess.run([sys.executable, "-c", "import typer"], check=True)

    return max(1.0, min(_computed(start) for _ in range(3)) / _AT_REST)


def least_seconds(works: Mapping[str, Callable[[], object]], *, rounds: int) -> Mapping[str, float]:
    """Return the least seconds of this process that each work took; they take turns.

    A ratio of two of them holds on a busy machine: other work only adds to what something takes.
    """
    found = dict.fromkeys(works, math.inf)
    for work in works.values():
        work()  # the first time is not like the others
    for _ in range(rounds):
        for name, work in works.items():
            start = time.process_time()
            work()
            found[name] = min(found[name], time.process_time() - start)
    return found
