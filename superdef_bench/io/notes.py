"""Lines on standard error that the user should know of, and that stop nothing."""

import sys
from contextlib import suppress

from superdef_bench.core.visible import one_line, shortened


def note(text: str) -> None:
    """Leave a line on stderr; a bar that is drawn there stays below it."""
    with suppress(OSError, ValueError):  # it is closed or full
        print(shortened(one_line(f"note: {text}")), file=sys.stderr)
