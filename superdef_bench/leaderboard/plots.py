"""Pictures of results, as SVG. No torch."""

import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as Tree

from superdef_bench.core.visible import visible
from superdef_bench.io.files import read_file
from superdef_bench.results.ranking import Standing
from superdef_bench.results.schema import Results
from superdef_bench.results.text import eps_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_drawn: ContextVar[Mapping[str, bytes] | None] = ContextVar("drawn", default=None)
_MOST_BYTES = 2**26  # of a picture; a crowded one has a few hundred thousand
_COLOURS = {"clean": "#9aa5b1", "gray box": "#4c78a8", "adaptive": "#e45756"}


def stamp(svg: bytes) -> str:
    """Return the hash of what a picture shows, as `draw` wrote it into it."""
    found = re.search(rb"data ([0-9a-f]{64})", svg)
    return found.group(1).decode() if found else ""


@contextmanager
def drawn_in(folder: Path) -> Iterator[None]:
    """Take pictures of a folder that show the same instead of drawing them again."""
    found = {stamp(content): content for content in map(_picture, folder.glob("*.svg"))}
    before = _drawn.set(found)
    try:
        yield
    finally:
        _drawn.reset(before)


def _picture(file: Path) -> bytes:
    """Return a picture that is there; nothing for what is none: it is drawn again."""
    try:
        return read_file(file, most=_MOST_BYTES)
    except OSError:
        return b""


def draw(shown: str, size: tuple[float, float], paint: Callable[["Figure"], None]) -> bytes:
    """Return a picture in the style of all, stamped with the hash of what it shows.

    Args:
        shown: All that the picture depends on.
        size: Width and height, in inches.
        paint: Fills the figure.
    """
    digest = hashlib.sha256(shown.encode()).hexdigest()
    known = _drawn.get()
    if known and digest in known and _is_whole(known[digest]):
        return known[digest]
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: Any = {"svg.hashsalt": "superdef-bench", "svg.fonttype": "none", "font.size": 9}
    with mpl.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        paint(figure)
        stream = io.BytesIO()
        metadata = {"Date": None, "Creator": "superdef-bench", "Description": f"data {digest}"}
        FigureCanvasSVG(figure).print_svg(stream, metadata=metadata)  # type: ignore[no-untyped-call]  # matplotlib leaves it untyped
    return stream.getvalue()


def _is_whole(svg: bytes) -> bool:
    """Return whether a picture that lay in a folder is one that a page can take."""
    try:
        Tree.fromstring(svg)  # noqa: S314  # expat bounds entities, and only whether it fails counts
    except Tree.ParseError:
        return False
    return True


def plain(name: str) -> str:
    """Return a name that is drawn as it is: a dollar sign would start a formula."""
    return visible(name).replace("$", r"\$")


def heading(results: Results) -> str:
    threat = results.threat
    return f"{results.name}, {threat.norm} {eps_text(threat.eps[-1])}"


def draw_bars(results: Results, standings: Sequence[Standing]) -> bytes:
    """Draw clean, gray-box and adaptive accuracy of every row, with 95 % intervals."""
    shown = json.dumps([asdict(standing) for standing in standings], sort_keys=True)
    title = heading(results)

    def paint(figure: "Figure") -> None:
        axes = figure.add_subplot()
        _bars(axes, standings)
        axes.set_title(plain(title))
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)

    return draw(f"{title}{shown}", (7.5, 1.0 + 0.52 * len(standings)), paint)


def _bars(axes: "Axes", standings: Sequence[Standing]) -> None:
    for number, (label, colour) in enumerate(_COLOURS.items()):
        for place, standing in enumerate(standings):
            value = (standing.clean, standing.gray, standing.adaptive)[number]
            if value is None:
                continue
            y, width = place + 0.26 * (number - 1), 100 * value.accuracy
            interval = [[width - 100 * value.low], [100 * value.high - width]]
            axes.barh(y, width, height=0.25, color=colour, label="" if place else label)
            axes.errorbar(width, y, xerr=interval, color="#333333", linewidth=0.8, capsize=1.5)
    axes.set_yticks(range(len(standings)), [_label(standing) for standing in standings])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("accuracy (%)")
    axes.spines[["top", "right"]].set_visible(False)


def _label(standing: Standing) -> str:
    name = plain(standing.defense)
    return f"{standing.rank}. {name}" if standing.rank is not None else f"– {name}"
