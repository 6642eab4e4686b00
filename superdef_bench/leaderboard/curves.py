"""How accuracy falls with eps, steps, queries and draws: numbers and their picture. No torch."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from superdef_bench.core.threats import ADAPTIVE, GRADIENT_RUNGS, MASKING, Access, AttackKind, Rung
from superdef_bench.leaderboard.plots import draw, heading, plain
from superdef_bench.results.facts import Attack
from superdef_bench.results.ranking import Standing
from superdef_bench.results.rows import score, smallest_eps, verdicts
from superdef_bench.results.schema import AccuracyRow, Results
from superdef_bench.results.statistics import unpack_integers
from superdef_bench.results.text import eps_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVES = "-curves.svg"
_GRID = 64  # radii of a curve where distances are measured
_FEW = 16  # points that are worth a mark each
_COLOURS = (
    *("#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2"),
    *("#b279a2", "#ff9da6", "#9d755d", "#d4a72c", "#8a8f98"),
)
_DASHES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Curve:
    """Accuracy of one defense against what the attacker spends.

    Attributes:
        attack: What it fell to; empty for the worst case.
        x: What is spent, ascending.
        y: Share of images still right at each.
    """

    defense: str
    attack: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Panel:
    """Curves on common axes.

    Attributes:
        label: Of the horizontal axis.
        ticks: Where and what to write on it; None leaves that to the plotting library.
        stepped: Accuracy stays until the next point.
        wide: The axis is logarithmic from 10 on.
    """

    title: str
    label: str
    curves: Sequence[Curve]
    ticks: Mapping[float, str] | None = None
    stepped: bool = False
    wide: bool = False


def has_curves(results: Results, standings: Sequence[Standing]) -> bool:
    """Return whether there is a panel to draw, and a row that tells when its images fell."""
    return any(row.first_steps is not None for row in results.accuracy) and bool(
        panels(results, standings)
    )


def over_eps(results: Results, standings: Sequence[Standing]) -> list[Curve]:
    """Return the share of images whose smallest eps, over all attacks, is larger."""
    threat, attacks = results.threat, results.attacks.values()
    last = threat.eps[-1]
    radii = {0.0, *map(float, threat.eps)}
    if any(facts.counted and facts.kind == AttackKind.MINIMAL for facts in attacks):
        radii |= set(np.linspace(0, last, _GRID + 1).tolist())
    x, curves = sorted(radii), []
    for standing in standings:
        name = standing.defense
        row = results.worst(name, ADAPTIVE)
        if row is not None and standing.adaptive is not None:
            smallest = smallest_eps(row)[: standing.adaptive.n]
            curves.append(Curve(name, "", x, [float((smallest > eps).mean()) for eps in x]))
    return curves


def over_steps(results: Results, standings: Sequence[Standing]) -> list[Curve]:
    """Return the accuracy after each gradient step, in white box, else BPDA.

    Of several attacks the one with the most steps is followed, at its smallest eps: what is broken
    there is not attacked again in a larger ball.
    """
    found = (_fall(results, standing, GRADIENT_RUNGS, (Access.GRADIENT,)) for standing in standings)
    return [curve for curve in found if curve]


def over_queries(results: Results, standings: Sequence[Standing]) -> list[Curve]:
    """Return the accuracy after each query in black box; as `over_steps`."""
    found = (
        _fall(results, standing, (Rung.BLACK_BOX,), (Access.SCORES, Access.LABELS))
        for standing in standings
    )
    return [curve for curve in found if curve]


def over_draws(results: Results, standings: Sequence[Standing]) -> list[Curve]:
    """Return the accuracy of stochastic defenses by the draws that a gradient is averaged over."""
    curves = []
    for standing in standings:
        rows = [
            row
            for row in results.rows(defense=standing.defense, rung=MASKING)
            if row.attack.startswith("eot_")
        ]
        points = {row.eot: value for row in rows if row.eot and (value := score(row))}
        x = sorted(points)
        if x:
            curves.append(Curve(standing.defense, "eot", x, [points[k].accuracy for k in x]))
    return curves


def _fall(
    results: Results, standing: Standing, rungs: Sequence[str], access: Sequence[str]
) -> Curve | None:
    """Follow the longest counted attack of the first rung that has one."""
    clean = results.clean(standing.defense)
    for rung in rungs:
        rows = [
            (length, name, row)
            for name, facts in results.attacks.items()
            if facts.counted and facts.kind == AttackKind.BUDGET and facts.access in access
            for row in results.rows(
                defense=standing.defense, rung=rung, attack=name, eps=facts.eps[0]
            )
            if row.first_steps is not None and (length := _length(facts, row, clean)) > 0
        ]
        if rows:
            length, name, row = max(rows, key=lambda found: found[0])
            n = standing.adaptive.n if standing.adaptive else None
            return fall(standing.defense, name, row, length, n)
    return None


def _length(attack: Attack, row: AccuracyRow, clean: AccuracyRow | None) -> int:
    """Return how many steps or queries an attack may take, at least what one image took.

    It is 0 for an attack that does not tell when it fooled.
    """
    said = attack.amount("queries") or attack.amount("steps")
    seen = int(unpack_integers(row.first_steps or "").max())
    fell = ~verdicts(row)
    if clean is not None:
        fell = fell[: clean.n] & verdicts(clean)[: len(fell)]
    if seen < 0 and fell.any():
        return 0
    return max(said * (attack.amount("restarts") or 1), seen)


def fall(defense: str, attack: str, row: AccuracyRow, length: int, n: int | None = None) -> Curve:
    """Return the share of images still right after each step at which one fell.

    An image that is wrong in the end, though the attack never saw it, fell at the start.

    Args:
        defense: Name of a row.
        attack: Name of the attack.
        row: Its accuracy row, with `first_steps`.
        length: Steps that the attack may take: where the curve ends.
        n: First images to take; all where None.
    """
    broken, first = ~verdicts(row)[:n], unpack_integers(row.first_steps or "")[:n]
    at = np.where(broken, np.maximum(first, 0), np.inf)
    fallen = at[np.isfinite(at)]
    x = np.unique(np.concatenate([[0.0, float(length)], fallen]))
    return Curve(defense, attack, x.tolist(), [float((at > step).mean()) for step in x])


def panels(results: Results, standings: Sequence[Standing]) -> list[Panel]:
    """Return the panels that have curves."""
    eps = results.threat.eps
    ticks = {0.0: "0", **{float(value): eps_text(value) for value in eps}}
    steps, queries = over_steps(results, standings), over_queries(results, standings)
    draws = over_draws(results, standings)
    counts = {float(x): str(x) for x in sorted({x for curve in draws for x in curve.x})}
    found = [
        Panel("Adaptive worst case", "eps", over_eps(results, standings), ticks),
        Panel(
            "White box, else BPDA",
            f"gradient steps of {_names(results, steps)}",
            steps,
            stepped=True,
        ),
        Panel(
            "Black box", f"queries of {_names(results, queries)}", queries, stepped=True, wide=True
        ),
        Panel("Stochastic defenses", "draws per gradient", draws, counts),
    ]
    return [panel for panel in found if panel.curves]


def _names(results: Results, curves: Sequence[Curve]) -> str:
    """Return the attacks that curves follow, each with its eps."""
    attacks = results.attacks
    names = dict.fromkeys(curve.attack for curve in curves)
    return ", ".join(f"{name} {eps_text(attacks[name].eps[0])}" for name in names)


def draw_curves(results: Results, standings: Sequence[Standing]) -> bytes:
    """Draw all panels, a line per defense in the same colour in each."""
    shown, title = panels(results, standings), heading(results)
    data = json.dumps([asdict(panel) for panel in shown], sort_keys=True)
    columns = min(2, len(shown))
    lines = math.ceil(len(shown) / columns)
    names = [
        s.defense for s in standings if any(s.defense == c.defense for p in shown for c in p.curves)
    ]
    looks = dict(zip(names, _looks(names), strict=True))

    def paint(figure: "Figure") -> None:
        from matplotlib.lines import Line2D

        for place, panel in enumerate(shown, start=1):
            _paint(figure.add_subplot(lines, columns, place), panel, looks)
        figure.suptitle(plain(title))
        handles = [Line2D([], [], **looks[name]) for name in names]
        labels = [plain(name) for name in names]
        figure.legend(handles, labels, loc="outside right upper", frameon=False)

    height = max(3.2 * lines, 0.19 * len(names)) + 0.4
    return draw(f"{title}{data}", (3.8 * columns + 2.6, height), paint)


def _looks(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield a colour and a dash for each line, the undefended classifier in black."""
    others = [name for name in names if name != "none"]
    for name in names:
        place = others.index(name) if name in others else 0
        dashes, colour = divmod(place, len(_COLOURS))
        own = {"color": _COLOURS[colour], "linestyle": _DASHES[dashes % len(_DASHES)]}
        yield own if name in others else {"color": "#111111", "linestyle": "-"}


def _paint(axes: "Axes", panel: Panel, looks: Mapping[str, Mapping[str, Any]]) -> None:
    for curve in panel.curves:
        marks = not panel.stepped and len(curve.x) <= _FEW
        axes.plot(
            curve.x,
            [100 * y for y in curve.y],
            drawstyle="steps-post" if panel.stepped else "default",
            marker="o" if marks else "",
            markersize=3,
            linewidth=1.2,
            **looks[curve.defense],
        )
    if panel.wide:
        axes.set_xscale("symlog", linthresh=10)
    elif panel.stepped:
        axes.locator_params(axis="x", integer=True)
    if panel.ticks:
        axes.set_xticks(list(panel.ticks), list(panel.ticks.values()))
    axes.set_xlim(left=0)
    axes.set_ylim(-2, 102)
    axes.set_xlabel(plain(panel.label))
    axes.set_ylabel("accuracy (%)")
    axes.set_title(plain(panel.title), fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
