"""Accuracy against cost: who gives the most for the least, and its picture. No torch."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from superdef_bench.leaderboard.plots import draw, heading, plain
from superdef_bench.results.facts import PIPELINE
from superdef_bench.results.ranking import Standing
from superdef_bench.results.schema import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PARETO = "-pareto.svg"
_COLOURS = {"gray box": "#4c78a8", "adaptive": "#e45756"}
_SIZE = (5.4, 4.4)  # of a panel, in inches
_FONT = 7.0  # points
_LINE = 1.25  # height of a line of labels, in fonts
_LETTER = 0.56  # mean width of a letter, in fonts
_RINGS = 12  # distances from its point that a label is tried at
_TICKS = 8
_MARGIN = 0.12  # of an axis, beyond the outermost points


@dataclass(frozen=True)
class Point:
    """One defense at one cost.

    Attributes:
        x: Milliseconds, or giga multiply-accumulates, of the pipeline.
        gray: Gray-box accuracy; None where it was not attacked so.
        adaptive: Adaptive accuracy.
    """

    defense: str
    x: float
    gray: float | None
    adaptive: float | None


@dataclass(frozen=True)
class Panel:
    """Points over one cost."""

    label: str
    points: Sequence[Point]


def has_pareto(results: Results, standings: Sequence[Standing]) -> bool:
    """Return whether a row has both an accuracy under attack and a cost."""
    return bool(panels(results, standings))


def panels(results: Results, standings: Sequence[Standing]) -> list[Panel]:
    """Return the panels that have points: latency where results have it, and GMAC."""
    rows = {row.defense: row for row in results.cost if row.scope == PIPELINE}
    attacked = [s for s in standings if s.defense in rows and (s.gray or s.adaptive)]

    def points(costs: dict[str, float]) -> list[Point]:
        return [
            Point(
                s.defense,
                costs[s.defense],
                s.gray.accuracy if s.gray else None,
                s.adaptive.accuracy if s.adaptive else None,
            )
            for s in attacked
            if s.defense in costs
        ]

    times = {
        name: row.latency_ms.p50
        for name, row in rows.items()
        if row.latency_ms and not results.is_added(name)
    }
    found = [
        Panel("latency of the pipeline (ms, p50, one image)", points(times)),
        Panel(
            "GMAC of the pipeline (one image)",
            points({name: row.gmac for name, row in rows.items()}),
        ),
    ]
    return [panel for panel in found if panel.points]


def frontier(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points that no other beats: none costs as little or less and holds more.

    Args:
        points: Cost and accuracy.

    Returns:
        Ascending in both.
    """
    best: list[tuple[float, float]] = []
    for x, y in sorted(set(points), key=lambda point: (point[0], -point[1])):
        if not best or y > best[-1][1]:
            best.append((x, y))
    return best


def draw_pareto(results: Results, standings: Sequence[Standing]) -> bytes:
    """Draw gray-box and adaptive accuracy against the cost of the pipeline, with frontiers."""
    shown, title = panels(results, standings), heading(results)
    data = json.dumps([asdict(panel) for panel in shown], sort_keys=True)

    def paint(figure: "Figure") -> None:
        for place, panel in enumerate(shown, start=1):
            _paint(figure.add_subplot(1, len(shown), place), panel)
        figure.suptitle(plain(title))
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)

    return draw(f"{title}{data}", (_SIZE[0] * len(shown), _SIZE[1] + 0.6), paint)


def _paint(axes: "Axes", panel: Panel) -> None:
    scale = _Scale.of([point.x for point in panel.points])
    for name, colour in _COLOURS.items():
        key = "gray" if name == "gray box" else name
        found = [(p.x, getattr(p, key)) for p in panel.points if getattr(p, key) is not None]
        if not found:
            continue
        best = frontier(found)
        axes.plot(
            [*(x for x, _ in best), scale.limits[1]],
            [100 * y for _, y in [*best, best[-1]]],
            drawstyle="steps-post",
            color=colour,
            linewidth=1,
            alpha=0.6,
        )
        marks = "o" if key == "adaptive" else "s"
        axes.scatter(
            [x for x, _ in found],
            [100 * y for _, y in found],
            s=18,
            marker=marks,
            color=colour,
            label=f"{name}, and its frontier",
            zorder=3,
        )
    for point in panel.points:
        if point.gray is not None and point.adaptive is not None:
            ends = [100 * point.adaptive, 100 * point.gray]
            axes.plot([point.x] * 2, ends, color="#bbbbbb", linewidth=0.6, zorder=1)
    if scale.logarithmic:
        axes.set_xscale("symlog", linthresh=scale.least, linscale=1.0)
        axes.set_xticks(scale.ticks, [f"{tick:g}" for tick in scale.ticks])
        axes.minorticks_off()
    axes.set_xlim(*scale.limits)
    axes.set_ylim(-5, 105)
    axes.set_xlabel(plain(panel.label))
    axes.set_ylabel("accuracy (%)")
    axes.spines[["top", "right"]].set_visible(False)
    for label in labels(panel.points, scale):
        axes.annotate(
            plain(label.text),
            label.point,
            xytext=label.place,
            textcoords="axes fraction",
            fontsize=_FONT,
            va="center",
            arrowprops={"arrowstyle": "-", "color": "#999999", "linewidth": 0.4},
        )


@dataclass(frozen=True)
class _Scale:
    """A horizontal axis: linear up to `least` and logarithmic above, or linear altogether."""

    least: float
    low: float
    high: float
    logarithmic: bool

    @classmethod
    def of(cls, values: Sequence[float]) -> "_Scale":
        positive = [value for value in values if value > 0]
        if not positive:
            return cls(1.0, 0.0, 1.0, False)
        logarithmic = max(positive) > 3 * min(values)
        least = min(positive) if logarithmic else 1.0
        return cls(least, min(values), max(values), logarithmic)

    def _bent(self, x: float) -> float:
        if not self.logarithmic:
            return x
        return x / self.least if x < self.least else 1 + math.log10(x / self.least)

    def _straight(self, bent: float) -> float:
        if not self.logarithmic:
            return bent
        return bent * self.least if bent < 1 else self.least * 10 ** (bent - 1)

    @property
    def _ends(self) -> tuple[float, float]:
        low, high = self._bent(self.low), self._bent(self.high)
        room = _MARGIN * ((high - low) or abs(high) or 1.0)
        return low - room, high + 2 * room  # names stand to the right of points

    @property
    def limits(self) -> tuple[float, float]:
        low, high = self._ends
        return self._straight(low), self._straight(high)

    @property
    def ticks(self) -> list[float]:
        """Return 1, 2 and 5 times powers of ten between the limits, or those alone if many."""
        low, high = self.limits
        powers = range(math.floor(math.log10(self.least)) - 1, math.ceil(math.log10(high)) + 1)
        for steps in ((1, 2, 5), (1,)):
            found = [step * 10.0**power for power in powers for step in steps]
            found = [tick for tick in found if max(low, 0.5 * self.least) <= tick <= high]
            if len(found) <= _TICKS:
                break
        return [*([0.0] if low <= 0 <= high else []), *found]

    def fraction(self, x: float) -> float:
        """Return how far along the axis a value is."""
        low, high = self._ends
        return (self._bent(x) - low) / (high - low)


@dataclass(frozen=True)
class Label:
    """A name, what it names, and the place of its left end as fractions of the axes.

    Attributes:
        box: Left, bottom, right and top, as fractions.
    """

    text: str
    point: tuple[float, float]
    place: tuple[float, float]
    box: tuple[float, float, float, float]


def labels(points: Sequence[Point], scale: "_Scale") -> list[Label]:
    """Place a name beside each point, as near as names before it and marks leave room."""
    wide, high = 72 * 0.82 * _SIZE[0], 72 * 0.80 * _SIZE[1]  # of the axes, in points, about
    marks = []
    for point in points:
        for y in (point.gray, point.adaptive):
            if y is not None:
                x, up = scale.fraction(point.x), (100 * y + 5) / 110
                marks.append((x - 3 / wide, up - 3 / high, x + 3 / wide, up + 3 / high))
    taken, placed = list(marks), []
    for point in points:
        y = point.gray if point.adaptive is None else point.adaptive
        assert y is not None
        x, up = scale.fraction(point.x), (100 * y + 5) / 110
        width, height = _FONT * _LETTER * len(point.defense) / wide, _FONT * _LINE / high
        boxes = [
            (left, bottom, left + width, bottom + height)
            for left, bottom in _places(x, up, width, height, 6 / wide)
            if left >= 0 and left + width <= 1.02 and bottom >= 0 and bottom + height <= 1
        ] or [(x, up, x + width, up + height)]
        box = min(boxes, key=lambda box: sum(_overlap(box, other) for other in taken))
        taken.append(box)
        place = (box[0], box[1] + height / 2)
        placed.append(Label(point.defense, (point.x, 100 * y), place, box))
    return placed


def _places(
    x: float, y: float, width: float, height: float, gap: float
) -> Iterator[tuple[float, float]]:
    """Yield lower left corners around a point, the nearest first."""
    for ring in range(_RINGS):
        for up in (ring, -ring) if ring else (0,):
            for side in (x + gap * (1 + ring / 4), x - width - gap * (1 + ring / 4)):
                yield side, y + (up - 0.5) * height
            if ring:
                yield x - width / 2, y + (up - 0.5) * height


def _overlap(box: tuple[float, ...], other: tuple[float, ...]) -> float:
    across = min(box[2], other[2]) - max(box[0], other[0])
    along = min(box[3], other[3]) - max(box[1], other[1])
    return max(across, 0.0) * max(along, 0.0)
