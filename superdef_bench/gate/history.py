"""One metric over several results: a line per defense. No torch."""

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from superdef_bench.core.errors import ConfigError, DataError, did_you_mean
from superdef_bench.core.threats import ADAPTIVE, CLEAN, Rung
from superdef_bench.core.visible import one_line, shortened
from superdef_bench.gate.git import commits_of, content_at
from superdef_bench.leaderboard.plots import draw, plain
from superdef_bench.results.comparable import other_machine, row_differences, unlike
from superdef_bench.results.facts import PIPELINE
from superdef_bench.results.load import FILE, load_results
from superdef_bench.results.rows import score
from superdef_bench.results.schema import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What each metric is in: percent, GMAC, parameters, milliseconds.
METRICS: Mapping[str, str] = {
    ADAPTIVE: "%",
    Rung.GRAY_BOX: "%",
    CLEAN: "%",
    "gmac": "GMAC",
    "params": "parameters",
    "latency": "ms",
}
_BARS, _PLAIN = "▁▂▃▄▅▆▇█", "_.-~=+*#"
_BREAK = "|"
_WIDTH, _NAME, _LONGEST = 80, 32, 24


@dataclass(frozen=True)
class Version:
    """Results and what a reader calls them: a commit, or a path."""

    label: str
    results: Results


@dataclass(frozen=True)
class History:
    """A metric of each defense, oldest first; None where it has no such number.

    Attributes:
        metric: Name of the metric.
        labels: Of the versions.
        series: Values by defense, one per version.
        breaks: Why a version does not compare with the one before it, by its place.
    """

    metric: str
    labels: Sequence[str]
    series: Mapping[str, Sequence[float | None]]
    breaks: Mapping[int, str] = field(default_factory=dict)


def versions_of(paths: Sequence[Path], commits: int) -> Iterator[Version]:
    """Yield results in the order of their paths, those in the history of git first.

    Args:
        paths: Run folders or results files.
        commits: How many committed versions of each file to read too.

    Raises:
        DataError: A file cannot be read, or lies in no git repository.
    """
    for path in paths:
        if commits:
            yield from _committed(path / FILE if path.is_dir() else path, commits)
        yield Version(path.as_posix(), load_results(path))


def _committed(file: Path, commits: int) -> Iterator[Version]:
    for commit in reversed(commits_of(file, commits)):
        content = content_at(file, commit)
        if content is None:
            continue  # the commit that deleted it
        with tempfile.TemporaryDirectory() as folder:
            old = Path(folder) / FILE
            old.write_text(content, encoding="utf-8")
            try:
                yield Version(commit, load_results(old, noted=False))  # git has a hash of its own
            except DataError as error:
                reason = error.message.replace(str(old), file.name)
                print(shortened(one_line(f"{commit} is left out: {reason}")), file=sys.stderr)


def history(versions: Sequence[Version], metric: str) -> History:
    """Return a metric of every defense over the versions.

    Accuracies are at the last eps; costs are of the whole pipeline, for one image.

    Raises:
        ConfigError: There is no such metric.
    """
    if metric not in METRICS:
        raise ConfigError(f"unknown metric {metric!r}", hint=did_you_mean(metric, METRICS))
    names = dict.fromkeys(name for v in versions for name in v.results.defenses)
    series = {name: [_value(v.results, name, metric) for v in versions] for name in names}
    found = [version.results for version in versions]
    breaks = {
        place: why for place in range(1, len(found)) if (why := _unlike(found, place, metric))
    }
    return History(metric, [version.label for version in versions], series, breaks)


def _unlike(found: Sequence[Results], place: int, metric: str) -> str:
    """Return why numbers of a version do not compare with those before it, or nothing.

    Of a row that the version before lacks, they are those of the last one that has it.
    """
    before, after = found[place - 1], found[place]
    reasons = unlike(before, after)
    for name in after.defenses.keys() - before.defenses.keys():
        older = next((each for each in found[place - 1 :: -1] if name in each.defenses), None)
        if older is not None and not reasons:
            reasons = list(row_differences(older, after, name))
    if not reasons and metric == "latency":
        reasons = [other_machine(before.provenance, after.provenance)]
    more = f"; and {len(reasons) - 1} more" if len(reasons) > 1 else ""
    return "".join(reasons[:1]) + more


def _value(results: Results, defense: str, metric: str) -> float | None:
    if METRICS[metric] == "%":
        found = score(results.clean(defense) if metric == CLEAN else results.worst(defense, metric))
        return None if found is None else 100 * found.accuracy
    for row in results.cost:
        if (row.defense, row.scope, row.batch_size) == (defense, PIPELINE, 1):
            if metric == "latency":
                timed = row.latency_ms if not results.is_added(defense) else None
                return timed.p50 if timed else None
            return float(getattr(row, metric))
    return None


def to_text(found: History, encoding: str) -> str:
    """Return a line per defense, at most 80 columns: first and last value, and a sparkline.

    A version that does not compare with the one before it begins behind a `|`, and a first value
    that does not compare with the last has a `*`.

    Args:
        found: The history.
        encoding: Of the terminal; one without bars gets plain characters.
    """
    bars = _BARS
    try:
        bars.encode(encoding)
    except (LookupError, UnicodeEncodeError):
        bars = _PLAIN
    values = [v for line in found.series.values() for v in line if v is not None] or [0.0]
    unit = METRICS[found.metric]
    lines = [f"{found.metric} in {unit}, {len(found.labels)} versions, oldest first"]
    lines.append(f"  {'defense':<{_NAME}} {'first':>9} {'last':>9}  versions")
    begin = _begin(found)
    for name, line in found.series.items():
        known = [(place, value) for place, value in enumerate(line) if value is not None]
        first, last = (_number(known[place][1], unit) if known else "-" for place in (0, -1))
        if known and _broken(found, known[0][0], known[-1][0]):
            first += "*"
        ends = f"{first:>9} {last:>9}"
        shown = _short(name, _NAME)
        drawn = "".join(
            _BREAK * (begin < place and place in found.breaks)
            + _bar(line[place], min(values), max(values), bars)
            for place in range(begin, len(line))
        )
        lines.append(f"  {shown:<{_NAME}} {ends}  {drawn}")
    low, high = (_number(value, unit) for value in (min(values), max(values)))
    lines.append(f"bars: {low} to {high}, the last {len(found.labels) - begin} versions")
    numbered = list(enumerate(found.labels, 1))[begin:]
    lines += [_short(f"{number}. {label}", _WIDTH) for number, label in numbered]
    if found.breaks:
        lines.append(f"{_BREAK} and *: numbers before it do not compare")
    lines += [_short(f"{_BREAK}{place + 1}. {why}", _WIDTH) for place, why in found.breaks.items()]
    return "\n".join(lines) + "\n"


def _begin(found: History) -> int:
    """Return the first version that is drawn: as many as fit, each break as wide as a bar."""
    begin, width = len(found.labels), 0
    while begin > 0 and width + 1 + (begin in found.breaks) <= _LONGEST:
        width += 1 + (begin in found.breaks)
        begin -= 1
    return begin


def _broken(found: History, first: int, last: int) -> bool:
    """Return whether two versions do not compare: one between them is of another benchmark."""
    return any(first < place <= last for place in found.breaks)


def _number(value: float, unit: str) -> str:
    return f"{value:.1f}" if unit == "%" else f"{value:.6g}"


def _short(text: str, width: int) -> str:
    text = one_line(text)
    return text if len(text) <= width else f"{text[: width - 2]}.."


def _bar(value: float | None, low: float, high: float, bars: str) -> str:
    if value is None:
        return " "
    share = (value - low) / (high - low) if high > low else 0.5
    return bars[min(len(bars) - 1, int(share * len(bars)))]


def to_svg(found: History) -> bytes:
    """Return the lines as a picture."""
    shown = json.dumps([found.metric, found.labels, found.series, sorted(found.breaks)])

    def paint(figure: "Figure") -> None:
        axes = figure.add_subplot()
        places = range(len(found.labels))
        for name, line in found.series.items():
            heights = [float("nan") if value is None else value for value in line]
            label, colour = plain(_short(name, _NAME)), None
            for start, end in pairwise([0, *found.breaks, len(line)]):
                (drawn,) = axes.plot(
                    places[start:end],
                    heights[start:end],
                    marker="o",
                    markersize=3,
                    label=label,
                    color=colour,
                )
                label, colour = "", drawn.get_color()
        for place in found.breaks:
            axes.axvline(place - 0.5, color="grey", linestyle=":", linewidth=1)
        axes.set_xticks(places, [plain(_short(label, 24)) for label in found.labels], rotation=45)
        axes.set_ylabel(f"{found.metric.replace('_', ' ')} ({METRICS[found.metric]})")
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside right upper", frameon=False)

    return draw(shown, (7.5, 4.0), paint)
