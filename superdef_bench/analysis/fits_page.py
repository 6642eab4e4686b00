"""What was seen of fits of Deep Image Prior, as a page with pictures. No torch beyond the fits."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from superdef_bench.analysis.fits import BEST, ORACLE, Kind, Watch, misfits, outcomes, top_of
from superdef_bench.io.files import write_atomically
from superdef_bench.leaderboard.plots import draw, plain
from superdef_bench.prior import RULES
from superdef_bench.results.text import escape, grid, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAME = "fits"
_COLUMNS = 3  # of small pictures side by side


def write_page(out: Path, title: str, watch: Watch, kinds: Sequence[Kind]) -> list[Path]:
    """Write page, pictures and numbers; return the files.

    Raises:
        DataError: A file cannot be written.
    """
    shown = json.dumps([kind.model_dump() for kind in kinds])
    files = {
        "accuracy": draw(f"accuracy{shown}", _size(kinds), lambda f: _panels(f, kinds, _accuracy)),
        "psnr": draw(f"psnr{shown}", _size(kinds), lambda f: _panels(f, kinds, _psnr)),
        "stops": draw(f"stops{shown}", (7.5, 3.0), lambda f: _stops(f, kinds)),
    }
    written = []
    for name, content in files.items():
        path = out / f"{_NAME}-{name}.svg"
        write_atomically(path, content)
        written.append(path)
    numbers = [
        {
            "images": kind.name,
            "fits": len(kind.fits),
            "rules": {rule: vars(outcome) for rule, outcome in outcomes(kind).items()},
            "misfits": dict(zip(("over", "under"), misfits(kind), strict=True)),
        }
        for kind in kinds
    ]
    table = out / f"{_NAME}.json"
    text = json.dumps({"watch": vars(watch), "kinds": numbers}, indent=1)
    write_atomically(table, f"{text}\n".encode())
    page = out / f"{_NAME}.md"
    write_atomically(page, "\n".join(_page(title, watch, kinds)).encode())
    return [page, *written, table]


def _page(title: str, watch: Watch, kinds: Sequence[Kind]) -> Iterator[str]:
    classes = kinds[0].num_classes
    top = top_of(classes)
    yield f"# Fits of Deep Image Prior: {escape(title)}"
    yield ""
    yield (
        f"{watch.steps} steps, {watch.draws} fits of each image, seen every {watch.every} steps; "
        f"`static` stops after {watch.static}. "
        "Fitted are images that the bare classifier gets right, and of an attack those that fool "
        "it, at the smallest radius that does; the attacker does not know of the fit. **Not a "
        "robustness claim.**"
    )
    yield ""
    yield (
        "† They need the label, and are no defenses. The oracle, that of Deep Protection, stops "
        f"at the first look at which the label is among the first {top} and the attack's class is "
        "not. *Any look* counts what was right once: a rule that looks there can get no more."
    )
    yield ""
    for among in (False, True)[: 1 + (top > 1)]:
        k = top if among else 1
        yield f"## Top-{k} accuracy in %, by guessing {percent(k / classes)}"
        yield ""
        rows = [
            [
                escape(kind.name),
                str(len(kind.fits)),
                *(
                    percent((found.among if among else found.first) if kind.fits else None)
                    for found in outcomes(kind).values()
                ),
            ]
            for kind in kinds
        ]
        yield from grid(["images", "fits", *RULES, f"{ORACLE} †", f"{BEST} †"], rows)
    yield "## Step of the stop, median, and what `static` loses in %"
    yield ""
    yield (
        "Overfitted: the label was first at an earlier look, and is not at the stop. Underfitted: "
        "it never was."
    )
    yield ""
    rows = []
    for kind in kinds:
        medians = [found.median for name, found in outcomes(kind).items() if name != BEST]
        steps = ["–" if step is None else f"{step:.0f}" for step in medians]
        lost = misfits(kind) if kind.fits else (None, None)
        rows.append([escape(kind.name), *steps, *map(percent, lost)])
    yield from grid(["images", *RULES, f"{ORACLE} †", "overfitted", "underfitted"], rows)
    for name, words in (
        ("accuracy", "Accuracy against the step"),
        ("psnr", "PSNR against the step, to the clean image and to the one that is fitted"),
        ("stops", "Where the rules stop"),
    ):
        yield f"![{words}]({_NAME}-{name}.svg)"
        yield ""


def _size(kinds: Sequence[Kind]) -> tuple[float, float]:
    return 7.5, 0.6 + 1.9 * -(-len(kinds) // _COLUMNS)


def _panels(figure: "Figure", kinds: Sequence[Kind], paint: Callable[["Axes", Kind], None]) -> None:
    rows = -(-len(kinds) // _COLUMNS)
    panels = figure.subplots(rows, _COLUMNS, sharex=True, sharey=True, squeeze=False)
    for axes, kind in zip(panels.flat, kinds, strict=False):
        if kind.fits:
            paint(axes, kind)
        axes.set_title(plain(kind.name), fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in list(panels.flat)[len(kinds) :]:
        axes.set_visible(False)
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    figure.supxlabel("step", fontsize=9)


def _accuracy(axes: "Axes", kind: Kind) -> None:
    for name, label, colour in (
        ("first", "top 1", "#e45756"),
        ("among", f"top {top_of(kind.num_classes)}", "#4c78a8"),
    ):
        shares = np.mean([getattr(fit, name) for fit in kind.fits], axis=0)
        axes.plot(kind.looks, 100 * shares, color=colour, label=label, linewidth=1.2)
    steps = np.median([fit.stops["static"].step for fit in kind.fits])
    axes.axvline(float(steps), color="#9aa5b1", linewidth=0.8, label="static")
    axes.set_ylim(0, 100)
    axes.set_ylabel("%")


def _psnr(axes: "Axes", kind: Kind) -> None:
    for name, label, colour in (
        ("psnr_clean", "to the clean image", "#54a24b"),
        ("psnr_fitted", "to the fitted image", "#e45756"),
    ):
        values = np.mean([getattr(fit, name) for fit in kind.fits], axis=0)
        axes.plot(kind.looks, values, color=colour, label=label, linewidth=1.2)
    axes.set_ylabel("dB")


def _stops(figure: "Figure", kinds: Sequence[Kind]) -> None:
    axes = figure.add_subplot()
    most = max((s.step for kind in kinds for f in kind.fits for s in f.stops.values()), default=1)
    edges = np.linspace(0, most, 21)
    for number, rule in enumerate(RULES):
        steps = [fit.stops[rule].step for kind in kinds for fit in kind.fits]
        counts, _ = np.histogram(steps, bins=edges)
        width = edges[1] / (len(RULES) + 1)
        axes.bar(edges[:-1] + (number + 0.5) * width, counts, width=width, label=rule)
    axes.set_xlabel("step of the stop")
    axes.set_ylabel("fits")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
