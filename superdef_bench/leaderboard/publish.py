"""Publish results: Markdown, CSV and pictures, a pure function of them. No torch."""

import csv
import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from superdef_bench.core.errors import ConfigError, DataError
from superdef_bench.io.files import portable, read_file, write_atomically
from superdef_bench.leaderboard.changes import with_changes
from superdef_bench.leaderboard.curves import CURVES, draw_curves, has_curves
from superdef_bench.leaderboard.markdown import leaderboard
from superdef_bench.leaderboard.pareto import PARETO, draw_pareto, has_pareto
from superdef_bench.leaderboard.plots import draw_bars, drawn_in, stamp
from superdef_bench.leaderboard.quality import quality_files
from superdef_bench.results.load import MOST_BYTES, load_published, load_sealed
from superdef_bench.results.ranking import Standing, rank
from superdef_bench.results.schema import Published, QualityResults, Results
from superdef_bench.results.table import spelt

_COLUMNS = (
    *("dataset", "model", "defense", "rung", "source", "attack", "goal", "topk", "target"),
    *("norm", "eps", "subset", "settings", "n", "correct", "accuracy", "ci_low", "ci_high"),
    *("conditional_n", "conditional_accuracy", "draws"),
    *("forwards", "backwards", "psnr", "ssim", "batch_dependent"),
)
_TAKEN = ("readme", "index")  # the index of a folder, and of a site
_OPTIONAL = ("top5_accuracy", "eot")


@dataclass(frozen=True)
class Picture:
    """A picture of results.

    Attributes:
        title: What it shows.
        draw: Returns it as SVG.
    """

    title: str
    draw: Callable[[Results, Sequence[Standing]], bytes]


def load(path: Path) -> Published:
    """Read what a leaderboard is made of: accuracy, or the quality of restored photographs.

    Raises:
        DataError: See `load_results`; or its name cannot be that of a file.
    """
    results = load_published(path)
    check_name(results.name)
    return results


def load_standing(file: Path) -> Results:
    """Read a published table that is to gain rows.

    Raises:
        DataError: See `load_sealed`; or the file is not where its pages belong.
    """
    results = load_sealed(file)
    check_name(results.name)
    if file.name != f"{results.name}.json":
        raise DataError(
            f"{file} is no published table: it holds {results.name!r}",
            hint=f"name {results.name}.json; superdef-bench leaderboard RUN -o DIR publishes one",
        )
    return results if results.published_in else results.published(portable(file.parent))


def _placed(results: Published, file: Path) -> Published:
    """Return results that say where their page stands: beside a file of their name."""
    if results.published_in is not None or file.name != f"{results.name}.json":
        return results
    return results.published(portable(file.parent))


def check_name(name: str) -> None:
    """Raise DataError for a name that the files of a leaderboard cannot have."""
    taken = name.lower() in _TAKEN or name[:1] in ("", ".", "-")
    if taken or not name.isprintable() or set(name) & set("/\\"):
        raise DataError(
            f"results are named {name!r}, which their page cannot be",
            hint="name the config otherwise and run it again",
        )


def load_all(paths: Sequence[Path], out: Path | None) -> dict[Path, Published]:
    """Read leaderboards by where each belongs: its name, in `out` or beside the results.

    Raises:
        DataError: See `load`.
        ConfigError: Two belong to the same place.
    """
    found: dict[Path, Published] = {}
    first: dict[Path, Path] = {}
    for path in paths:
        results = load(path)
        results = _placed(results, path) if out is None else results.published(portable(out))
        place = (out or (path if path.is_dir() else path.parent)) / results.name
        if first.setdefault(place, path) != path:
            raise ConfigError(
                f"{first[place]} and {path} are both named {results.name!r}",
                hint="publish them into folders of their own",
            )
        found[place] = results
    return found


def pictures(results: Results, standings: Sequence[Standing]) -> dict[str, Picture]:
    """Return the pictures that results have, by the end of their file names."""
    found = {".svg": Picture("Clean, gray-box and adaptive accuracy", draw_bars)}
    if has_curves(results, standings):
        found[CURVES] = Picture("Accuracy against what the attacker spends", draw_curves)
    if has_pareto(results, standings):
        found[PARETO] = Picture("Accuracy against cost", draw_pareto)
    return found


def files(results: Published) -> dict[str, bytes]:
    """Return the files of a leaderboard by suffix.

    `.md` and `.csv`; of accuracy also the pictures.
    """
    if isinstance(results, QualityResults):
        return quality_files(results)
    standings = rank(results)
    drawn = {
        suffix: picture.draw(results, standings)
        for suffix, picture in pictures(results, standings).items()
    }
    text = {".md": leaderboard(results, standings), ".csv": table(results)}
    return {**{suffix: content.encode() for suffix, content in text.items()}, **drawn}


def last_published(folder: Path, name: str) -> Published | None:
    """Return the results that are published in `folder` under a name.

    Raises:
        DataError: They cannot be read, or nothing can be published under that name.
    """
    check_name(name)
    file = folder / f"{name}.json"
    if not file.exists():
        return None
    try:
        return load(file)
    except DataError as error:
        raise DataError(
            f"{error.message}; they would be replaced by new ones",
            hint=f"remove {file} to publish without saying what changed",
        ) from error


def since_published(results: Published, folder: Path) -> Published:
    """Return results that say what they change in those of their name in `folder`.

    Raises:
        DataError: See `last_published`.
    """
    before = last_published(folder, results.name)
    if before is None:
        return results
    content = read_file(folder / f"{results.name}.json", most=MOST_BYTES)
    return with_changes(results, before, hashlib.sha256(content).hexdigest())


def publish(results: Published, folder: Path) -> list[Path]:
    """Write a leaderboard and the results behind it into `folder`; return the files."""
    results.save(folder / f"{results.name}.json")
    written = [folder / f"{results.name}.json"]
    for suffix, content in files(results).items():
        write_atomically(folder / f"{results.name}{suffix}", content)
        written.append(folder / f"{results.name}{suffix}")
    return written


def stale(results: Published, folder: Path) -> list[str]:
    """Return the files of a leaderboard in `folder` that these results would not write.

    A picture is compared by its stamp, the hash of what it shows: its bytes depend on the
    version of the plotting library.
    """
    found = []
    with drawn_in(folder):
        wanted = files(results)
    for suffix, content in wanted.items():
        path = folder / f"{results.name}{suffix}"
        current = _current(path)
        drawn = suffix.endswith(".svg")
        same = stamp(current) == stamp(content) if drawn else current == content
        if not same or not current:
            found.append(path.name)
    return found


def _current(path: Path) -> bytes:
    """Return what stands in a file of a leaderboard; nothing where none can be read."""
    try:
        return read_file(path, most=MOST_BYTES)
    except OSError:
        return b""


def table(results: Results) -> str:
    """Return all accuracy rows as CSV, verdicts left out."""
    stream = io.StringIO()
    rows = results.document["accuracy"]
    given = [name for name in _OPTIONAL if any(name in row for row in rows)]
    writer = csv.DictWriter(
        stream, [*_COLUMNS, *given], restval="", extrasaction="ignore", lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(spelt(rows))
    return stream.getvalue()
