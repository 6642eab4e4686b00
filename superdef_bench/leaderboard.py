"""Publish results: Markdown, CSV and pictures, a pure function of them. No torch."""

import csv
import io
from pathlib import Path

from superdef_bench.curves import CURVES, draw_curves, has_curves
from superdef_bench.files import write_atomically
from superdef_bench.markdown import leaderboard
from superdef_bench.pareto import PARETO, draw_pareto, has_pareto
from superdef_bench.plots import draw_bars, stamp
from superdef_bench.quality_results import QualityResults, load_quality
from superdef_bench.ranking import rank
from superdef_bench.results import Results, load_results, read_document

_COLUMNS = (
    *("dataset", "model", "defense", "rung", "source", "attack", "goal", "topk", "target"),
    *("norm", "eps", "subset", "settings", "n", "correct", "accuracy", "ci_low", "ci_high"),
    *("conditional_n", "conditional_accuracy", "draws"),
    *("forwards", "backwards", "psnr", "ssim", "batch_dependent"),
)
_OPTIONAL = ("top5_accuracy", "eot")

Publishable = Results | QualityResults


def load(path: Path) -> Publishable:
    """Read what a leaderboard is made of: accuracy, or the quality of restored photographs.

    Raises:
        DataError: See `load_results`.
    """
    _, document = read_document(path)
    return load_quality(path) if "quality" in document else load_results(path)


def files(results: Publishable) -> dict[str, bytes]:
    """Return the files of a leaderboard by suffix.

    `.md` and `.csv`; of accuracy `.svg`, `-curves.svg` where rows tell when images fell, and
    `-pareto.svg` where rows have a cost.
    """
    if isinstance(results, QualityResults):
        return results.files()
    standings = rank(results)
    written = {
        ".md": leaderboard(results, standings).encode(),
        ".csv": table(results).encode(),
        ".svg": draw_bars(results, standings),
    }
    if has_curves(results, standings):
        written[CURVES] = draw_curves(results, standings)
    if has_pareto(results, standings):
        written[PARETO] = draw_pareto(results, standings)
    return written


def publish(results: Publishable, folder: Path) -> list[Path]:
    """Write a leaderboard and the results behind it into `folder`; return the files."""
    results.save(folder / f"{results.name}.json")
    written = [folder / f"{results.name}.json"]
    for suffix, content in files(results).items():
        write_atomically(folder / f"{results.name}{suffix}", content)
        written.append(folder / f"{results.name}{suffix}")
    return written


def stale(results: Publishable, folder: Path) -> list[str]:
    """Return the files of a leaderboard in `folder` that these results would not write.

    A picture is compared by its stamp, the hash of what it shows: its bytes depend on the
    version of the plotting library.
    """
    found = []
    for suffix, content in files(results).items():
        path = folder / f"{results.name}{suffix}"
        current = path.read_bytes() if path.exists() else b""
        drawn = suffix.endswith(".svg")
        same = stamp(current) == stamp(content) if drawn else current == content
        if not same or not current:
            found.append(path.name)
    return found


def table(results: Results) -> str:
    """Return all accuracy rows as CSV, verdicts left out."""
    stream = io.StringIO()
    given = [name for name in _OPTIONAL if any(name in row for row in results.accuracy)]
    writer = csv.DictWriter(
        stream, [*_COLUMNS, *given], restval="", extrasaction="ignore", lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(results.accuracy)
    return stream.getvalue()
