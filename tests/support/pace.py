"""How fast this machine is right now, so that a bound in seconds means the same on a slow one."""

import os
import subprocess
import sys

_AT_REST = 0.1  # seconds of a processor to start Python and import typer


def of_children() -> float:
    """Return the seconds that child processes have computed; what else runs does not count."""
    used = os.times()
    return used.children_user + used.children_system


def slowdown() -> float:
    """Return how many times as long as there it takes here and now to start Python and typer.

    At least 1: a faster machine is held to the same seconds.
    """
    taken = []
    for _ in range(3):
        start = of_children()
        subprocess.run([sys.executable, "-c", "import typer"], check=True)
        taken.append(of_children() - start)
    return max(1.0, min(taken) / _AT_REST)
