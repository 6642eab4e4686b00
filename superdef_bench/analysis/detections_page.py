"""What detectors say of a run's images, as a page with ROC curves."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from superdef_bench.analysis.detections import Detections, Kind
from superdef_bench.core.threats import CLEAN
from superdef_bench.io.files import write_atomically
from superdef_bench.leaderboard.plots import draw, plain
from superdef_bench.results.text import escape, grid, percent, three_digits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NAME = "detections"
_SIDE = 3.2  # inches of a panel


def write_page(out: Path, title: str, rows: Sequence[Detections]) -> list[Path]:
    """Write page, picture and numbers; return the files.

    Raises:
        DataError: A file cannot be written.
    """
    numbers = [
        {
            "row": row.row,
            "gmac": {"passing": row.passing, "stopped": row.stopped, "always": row.always},
            "kinds": [
                {
                    "images": kind.name,
                    "eps": kind.eps,
                    "n": len(scores),
                    "stopped": row.share(kind),
                    "auc": None if kind == _CLEAN else row.area(kind),
                    "gmac": row.mean(kind),
                }
                for kind, scores in row.scores.items()
            ],
        }
        for row in rows
    ]
    text = json.dumps(numbers, indent=1)
    picture = draw(f"roc{text}", (_SIDE * len(rows) + 1.8, _SIDE), lambda f: _curves(f, rows))
    files = {
        f"{_NAME}.md": "\n".join(_page(title, rows)).encode(),
        f"{_NAME}-roc.svg": picture,
        f"{_NAME}.json": f"{text}\n".encode(),
    }
    for name, content in files.items():
        write_atomically(out / name, content)
    return [out / name for name in files]


_CLEAN = Kind(CLEAN)


def _page(title: str, rows: Sequence[Detections]) -> Iterator[str]:
    yield f"# What detectors stop: {escape(title)}"
    yield ""
    yield (
        "Attacked images were made on the bare classifier by attackers who know of no detector. "
        "**Not a robustness claim**: the table of the run has the attackers who do."
    )
    yield ""
    yield (
        "Stopped images go through the defense, all others pass it by. AUC: how often an attacked "
        "image scores higher than a clean one; 50.0 is guessing. GMAC: giga multiply-accumulates "
        "of an image on average, detector, defense and classifier together."
    )
    yield ""
    for row in rows:
        yield f"## {escape(row.row)}"
        yield ""
        saved = 1 - row.mean(_CLEAN) / row.always
        passing, stopped, always = map(three_digits, (row.passing, row.stopped, row.always))
        yield (
            f"{passing} GMAC for an image that passes, {stopped} for one that is stopped, "
            f"{always} without a detector: "
            f"**{percent(saved)} % of the work on clean images is saved**."
        )
        yield ""
        lines = [
            [
                escape(kind),
                str(len(scores)),
                percent(row.share(kind)),
                "–" if kind == _CLEAN else percent(row.area(kind)),
                three_digits(row.mean(kind)),
            ]
            for kind, scores in row.scores.items()
        ]
        yield from grid(["images", "n", "stopped, %", "AUC, %", "GMAC"], lines)
    yield f"![ROC curves of each attack]({_NAME}-roc.svg)"
    yield ""


def _curves(figure: "Figure", rows: Sequence[Detections]) -> None:
    panels = figure.subplots(1, len(rows), sharex=True, sharey=True, squeeze=False)[0]
    for axes, row in zip(panels, rows, strict=True):
        axes.plot([0, 100], [0, 100], color="#9aa5b1", linewidth=0.8)
        for kind in row.scores:
            if kind != _CLEAN:
                points = row.curve(kind)
                xs, ys = ([100 * point[place] for point in points] for place in (0, 1))
                axes.plot(xs, ys, label=plain(str(kind)), linewidth=1.2)
        axes.plot(
            [100 * row.share(_CLEAN)] * 2, [0, 100], color="#9aa5b1", linewidth=0.8, dashes=(3, 3)
        )
        axes.set_title(plain(row.row), fontsize=8)
        axes.set_xlabel("clean images stopped, %")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("attacked images stopped, %")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=7)
