"""Tables on standard output, in which names are shown as they are."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from superdef_bench.cli.output import out
from superdef_bench.core.visible import visible


class _Screen(Console):
    """A console that shows names as they are: lines are ours, other controls are theirs."""

    def render_str(self, text: str, **how: Any) -> Text:
        return super().render_str(visible(text, keep="\n"), **how)


def cell(text: object) -> str:
    """Return text that a table of rich shows as it is, on one line."""
    return escape(visible(text))


def console() -> Console:
    """Return where tables go: plain text, no guessed colours."""
    return _Screen(file=out(), highlight=False)
