"""Progress on stderr: what is being done, how much of it, time left. Piped, a line a minute."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from superdef_bench.core.visible import one_line

EVERY = 60.0  # seconds between two lines where there is no terminal


class Bar:
    """One bar; its length is work, its text says where the work stands.

    Args:
        progress: What draws it.
        total: All of the work.
        told: Whether to print a line now and then, where nothing is drawn.
    """

    def __init__(self, progress: Progress, total: float, *, told: bool = False) -> None:
        self._progress, self._told = progress, told
        self._task = progress.add_task("", total=total, count="")
        self._start = self._last = time.monotonic()

    def advance(self, work: float) -> None:
        """Move on by `work` of the total."""
        self._progress.advance(self._task, work)
        self._tell()

    def show(self, text: str, count: str = "") -> None:
        """Say what is being done, and how many images or steps of it are."""
        self._progress.update(self._task, description=one_line(text), count=count)
        self._tell()

    def _tell(self) -> None:
        """Print a line where none has been for a minute."""
        now = time.monotonic()
        if not self._told or now - self._last < EVERY:
            return
        self._last = now
        task, gone = self._progress.tasks[self._task], now - self._start
        words = [task.description, task.fields["count"], f"{_clock(gone)} gone"]
        if task.total and task.completed:
            left = gone * (task.total - task.completed) / task.completed
            words.insert(2, f"{task.percentage:.0f} % of the work")
            words.append(f"about {_clock(left)} left")
        self.log(", ".join(filter(None, words)))

    def log(self, text: str) -> None:
        """Leave a line on stderr, above the bar where one is drawn."""
        self._progress.console.print(one_line(text), markup=False, highlight=False, soft_wrap=True)


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


_shown = False


@contextmanager
def progress_bar(total: float) -> Iterator[Bar]:
    """Show a bar on stderr while the block runs.

    Without a terminal it is a line a minute; inside the block of another bar it is nothing.
    """
    global _shown
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        TextColumn("{task.fields[count]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    outer, _shown = _shown, True
    try:
        hidden = outer or not console.is_terminal
        with Progress(*columns, console=console, disable=hidden) as progress:
            yield Bar(progress, total, told=hidden and not outer)
    finally:
        _shown = outer
