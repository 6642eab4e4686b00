"""Tables that a reader sorts and filters; without a script they are tables. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from superdef_bench.leaderboard.site.page import Html, element

_MANY = 3  # rows that are worth a filter
_SHORT, _LONG = 12, 40  # characters that stay on one line, and that ask for a wide column


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table.

    Attributes:
        text: What is shown.
        value: By what it is sorted, where that is a number; None sorts last.
    """

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Line:
    """A row; its first cell names it.

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
        hide: What the rows that can be hidden are called, where there are such.
    """

    key: str
    caption: str
    head: Sequence[str]
    lines: Sequence[Line]
    hide: str = ""


def render(table: Table) -> Html:
    """Return a table, and the controls that a script brings to life."""
    numeric = [
        any(line.cells[place].value is not None for line in table.lines)
        for place in range(len(table.head))
    ]
    head = [
        element("th", title, scope="col", data_sort="number" if number else "text")
        for title, number in zip(table.head, numeric, strict=True)
    ]
    body = element("tbody", *(_line(line, numeric) for line in table.lines))
    caption = element("caption", element("span", table.caption), id=f"{table.key}-caption")
    whole = element(
        "table", caption, element("thead", element("tr", *head)), body, id=f"{table.key}-table"
    )
    scroll = element(
        "div",
        whole,
        class_="scroll",
        role="region",
        tabindex="0",
        aria_labelledby=f"{table.key}-caption",
    )
    controls = _controls(table) if len(table.lines) >= _MANY else ""
    return element("div", controls, scroll, class_="sheet")


def _line(line: Line, numeric: Sequence[bool]) -> Html:
    first, *others = line.cells
    cells = [element("th", first.text, scope="row")]
    cells += [_cell(cell, number) for cell, number in zip(others, numeric[1:], strict=True)]
    facets = {f"data_{facet}": value for facet, value in line.facets.items()}
    return element("tr", *cells, data_hide=bool(line.hideable), **facets)


def _cell(cell: Cell, numeric: bool) -> Html:
    value = None if cell.value is None else f"{cell.value:.9g}"
    width = "short" if len(cell.text) <= _SHORT else "long" if len(cell.text) > _LONG else None
    return element("td", cell.text, class_="number" if numeric else width, data_value=value)


def _controls(table: Table) -> Html:
    """Return the controls of a table, hidden until the script finds them."""
    search = element("input", type="search", autocomplete="off", spellcheck="false")
    parts = [element("label", "Filter ", search)]
    facets = dict.fromkeys(facet for line in table.lines for facet in line.facets)
    for facet in facets:
        values = dict.fromkeys(line.facets[facet] for line in table.lines if facet in line.facets)
        options = [element("option", "all", value="")]
        options += [element("option", value) for value in values]
        chosen = element("select", *options, data_facet=facet)
        parts += [element("label", f"{facet} ".capitalize(), chosen)] if len(values) > 1 else []
    if any(line.hideable for line in table.lines):
        box = element("input", type="checkbox")
        parts.append(element("label", box, f" hide {table.hide}"))
    told = element("output", aria_live="polite")
    return element("form", *parts, told, class_="controls", hidden=True)
