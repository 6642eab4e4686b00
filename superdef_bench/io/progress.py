"""Progress bars on stderr: what is being done, how much of it, time left."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from superdef_bench.core.visible import one_line


class Bar:
    """One bar; its length is work, its text says where the work stands."""

    def __init__(self, progress: Progress, total: float) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=total, count="")

    def advance(self, work: float) -> None:
        """Move on by `work` of the total."""
        self._progress.advance(self._task, work)

    def show(self, text: str, count: str = "") -> None:
        """Say what is being done, and how many images or steps of it are."""
        self._progress.update(self._task, description=one_line(text), count=count)

    def log(self, text: str) -> None:
        """Leave a line on stderr, above the bar where one is drawn."""
        self._progress.console.print(one_line(text), markup=False, highlight=False, soft_wrap=True)


_shown = False


@contextmanager
def progress_bar(total: float) -> Iterator[Bar]:
    """Show a bar on stderr while the block runs.

    Nothing is drawn without a terminal, or inside the block of another bar.
    """
    global _shown
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
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
            yield Bar(progress, total)
    finally:
        _shown = outer
