"""Tables as data: what stands in them, and by what it is sorted; others render them. No torch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from superdef_bench.core.visible import visible
from superdef_bench.results.text import escape, grid


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table.

    Attributes:
        text: What is shown, as plain text.
        value: By what it is sorted, where that is a number; None sorts last.
        short: What is shown where there is little room; the text where None.
        doubt: In a word, why what the cell names is not to be trusted; empty where it is.
    """

    text: str
    value: float | None = None
    short: str | None = None
    doubt: str = ""


NOTHING = Cell("–")


@dataclass(frozen=True)
class Line:
    """A row, a cell for each column.

    Attributes:
        facets: What a reader may choose rows by: facet to value.
        hideable: What kind of row a reader may hide it as.
    """

    cells: Sequence[Cell]
    facets: Mapping[str, str] = field(default_factory=dict)
    hideable: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        key: Identifies it on its page.
        caption: Says what it shows.
        head: Titles of columns; those whose cells have numbers are sorted by them.
        lines: The rows.
        hide: What the rows that can be hidden are called, where there are such.
    """

    key: str
    caption: str
    head: Sequence[str]
    lines: Sequence[Line]
    hide: str = ""

    def pick(self, *titles: str, short: Sequence[str] = (), **renamed: str) -> "Table":
        """Return the columns of these titles, in this order.

        Args:
            titles: Of the columns that stay.
            short: Those whose cells are to be short.
            renamed: Other titles for some; spaces are underscores.
        """
        places = [self.head.index(title) for title in titles]
        few = {self.head.index(title) for title in short}
        lines = [
            replace(line, cells=[_shown(line.cells[p], short=p in few) for p in places])
            for line in self.lines
        ]
        head = [renamed.get(title.replace(" ", "_"), title) for title in titles]
        return replace(self, head=head, lines=lines)

    @property
    def numeric(self) -> list[bool]:
        """Whether each column is sorted by numbers."""
        return [
            any(line.cells[place].value is not None for line in self.lines)
            for place in range(len(self.head))
        ]


def _shown(cell: Cell, *, short: bool) -> Cell:
    return cell if not short or cell.short is None else replace(cell, text=cell.short)


def plain_lines(rows: Sequence[Sequence[str]]) -> list[Line]:
    """Return rows of text as lines."""
    return [Line([Cell(text) for text in row]) for row in rows]


def to_markdown(table: Table) -> list[str]:
    """Return a table as lines of Markdown, names in doubt marked; its caption is left out."""
    rows = [[_written(cell) for cell in line.cells] for line in table.lines]
    return grid([escape(title, begins=False) for title in table.head], rows)


def _written(cell: Cell) -> str:
    return escape(cell.text, begins=False) + (f" **({cell.doubt})**" if cell.doubt else "")


def spelt(rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield rows as a CSV has them: numbers as they are, of text no hidden part."""
    for row in rows:
        yield {k: visible(value) if isinstance(value, str) else value for k, value in row.items()}
