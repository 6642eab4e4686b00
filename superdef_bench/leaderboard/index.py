"""The index of a folder of leaderboards, a pure function of the results in it. No torch."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from superdef_bench.core.threats import UNDEFENDED
from superdef_bench.io.documents import parse_json
from superdef_bench.io.files import read_file, write_atomically
from superdef_bench.leaderboard.again import commands
from superdef_bench.leaderboard.classifier import classifier_title
from superdef_bench.leaderboard.notes import masking_verdict, not_ranked, row_name
from superdef_bench.leaderboard.publish import (
    load,
    pictures,
    publish,
    since_published,
    stale,
)
from superdef_bench.leaderboard.tables import ranking_table
from superdef_bench.results.load import FILE, MOST_BYTES
from superdef_bench.results.ranking import Standing, images_text, rank
from superdef_bench.results.rows import with_interval
from superdef_bench.results.schema import Published, QualityResults, QualityRow, Results
from superdef_bench.results.suite import suite_of_table
from superdef_bench.results.table import to_markdown
from superdef_bench.results.text import eps_text, escape, fenced, grid, link

INDEX = "README.md"
BEST = 3  # rows of a benchmark that an index shows
_MARK = "<!-- generated, do not edit; superdef-bench leaderboard writes it -->"


def published(folder: Path) -> list[Published]:
    """Read the leaderboards of a folder, by name: results in files that are called as they are.

    Raises:
        DataError: See `load`.
    """
    found = [load(path) for path in sorted(folder.glob("*.json")) if _is_published(path)]
    return sorted(found, key=lambda results: results.name)


def _is_published(path: Path) -> bool:
    """Return whether a JSON file is one that was published, or too damaged to tell."""
    try:
        document = parse_json(read_file(path, most=MOST_BYTES))
    except (OSError, ValueError):
        return True
    if not isinstance(document, dict):
        return False
    return "schema" in document and document.get("name") == path.stem


def publish_all(boards: Mapping[Path, Published]) -> list[Path]:
    """Publish leaderboards, say what they change, and index their folders; return the files.

    Args:
        boards: By the folder and name of each.

    Raises:
        DataError: See `since_published` and `published`.
    """
    dated = {place: since_published(board, place.parent) for place, board in boards.items()}
    written = [path for place, board in dated.items() for path in publish(board, place.parent)]
    folders = dict.fromkeys(place.parent for place in boards)
    return written + [index for folder in folders if (index := _write_index(folder))]


def stale_files(boards: Mapping[Path, Published]) -> list[Path]:
    """Return the files of leaderboards, and the indexes of their folders, that are stale.

    Raises:
        DataError: See `published`.
    """
    found = [
        place.parent / name
        for place, board in boards.items()
        for name in stale(board, place.parent)
    ]
    folders = dict.fromkeys(place.parent for place in boards)
    return found + [folder / INDEX for folder in folders if _is_stale(folder)]


def _write_index(folder: Path) -> Path | None:
    """Write the index of a folder, if it is to have one, and return it."""
    if not _has_index(folder):
        return None
    write_atomically(folder / INDEX, index(published(folder)).encode())
    return folder / INDEX


def _is_stale(folder: Path) -> bool:
    """Return whether a folder has no index, or not that of the results in it."""
    file = folder / INDEX
    if not _has_index(folder):
        return False
    return _text(file) != index(published(folder))


def _has_index(folder: Path) -> bool:
    """Return whether a folder is to have one: no run folder, none with a README of its own."""
    file = folder / INDEX
    own = file.exists() and _MARK not in _text(file)
    return not own and not (folder / FILE).exists()


def _text(file: Path) -> str:
    """Return the text of an index; nothing where none can be read."""
    try:
        return read_file(file, most=MOST_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return ""


def index(boards: list[Published]) -> str:
    """Return the index as Markdown."""
    lines = ["# Leaderboards", "", _MARK, ""]
    lines += [
        "Every robust accuracy is an upper bound that a fixed suite found (≤), here at the last "
        "eps of its benchmark on the n images that all ranked rows have, with its 95 % interval. "
        "Numbers of two benchmarks are not comparable. †: gray-box examples made on another "
        "network.",
        "",
    ]
    accuracy = [results for results in boards if isinstance(results, Results)]
    if accuracy:
        head = ["benchmark", "dataset", "classifier", "threat", "suite", "best defense", "adaptive"]
        lines += grid(head, [_line(results) for results in accuracy])
    for results in boards:
        lines += [f"## {escape(results.name)}", ""]
        lines += _benchmark(results) if isinstance(results, Results) else _quality(results)
        lines += fenced(commands(results))
    return "\n".join(lines).rstrip() + "\n"


def best_rows(standings: Sequence[Standing]) -> list[Standing]:
    """Return the best ranked defenses, and the undefended classifier."""
    ranked = [s for s in standings if s.rank is not None and s.defense != UNDEFENDED]
    return ranked[:BEST] + [s for s in standings if s.defense == UNDEFENDED]


def _line(results: Results) -> list[str]:
    data, threat, standings = results.dataset, results.threat, rank(results)
    best = best_rows(standings)[:1]
    name = row_name(results, best[0].defense) if best else "–"
    return [
        link(escape(results.name), f"{results.name}.md"),
        f"{escape(data.name)}, {images_text(results, standings)}",
        escape(classifier_title(results)),
        f"{escape(threat.norm)} {eps_text(threat.eps[-1])}",
        suite_of_table(results, standings).split(":")[0],
        name,
        with_interval(best[0].adaptive, "≤ ") if best else "–",
    ]


def _benchmark(results: Results) -> Iterator[str]:
    standings = rank(results)
    data, threat = results.dataset, results.threat
    yield (
        f"{escape(data.name)} {escape(data.split)}, {data.classes} classes, "
        f"{images_text(results, standings)}; classifier {escape(classifier_title(results))}; "
        f"{escape(threat.norm)}, eps {', '.join(map(eps_text, threat.eps))}; "
        f"suite {suite_of_table(results, standings)}."
    )
    yield ""
    eps = eps_text(results.last_eps)
    shown = ["rank", "defense", "clean", "gray box", "adaptive", "n"]
    titles = {"rank": "#", "gray_box": f"gray box {eps}", "adaptive": f"adaptive {eps}"}
    best = best_rows(standings)
    # A number that nobody should trust stands beside why, so that its row is not missed either.
    masked = [s for s in standings if masking_verdict(results, s.defense) == "fail"]
    rows = [*best, *(s for s in masked if s not in best)]
    table = ranking_table(results, rows).pick(*shown, short=["clean", "n"], **titles)
    yield from to_markdown(table)
    ranked = sum(s.rank is not None for s in standings)
    why = "".join(f" {escape(line, begins=False)}" for line in not_ranked(masked))
    yield f"{ranked} of {len(standings)} rows are ranked.{why}"
    yield ""
    drawn = pictures(results, standings)
    yield from _links(results, {drawn[suffix].title.lower(): suffix for suffix in drawn})


def _quality(results: QualityResults) -> Iterator[str]:
    sets = ", ".join(map(escape, dict.fromkeys(row.dataset for row in results.quality)))
    yield f"Photographs of {sets}, restored to {results.scale} times their size."
    yield ""
    best: dict[str, QualityRow] = {}
    for row in results.quality:
        name = row.dataset
        best[name] = max(best.get(name, row), row, key=lambda found: found.psnr)
    rows = [
        [escape(name), escape(row.network), f"{row.psnr:.2f}", f"{row.ssim:.4f}"]
        for name, row in best.items()
    ]
    yield from grid(["set", "best network", "PSNR", "SSIM"], rows)
    yield from _links(results, {})


def _links(results: Published, drawn: dict[str, str]) -> Iterator[str]:
    kinds = {"page": ".md", "JSON": ".json", "CSV": ".csv", **drawn}
    yield " · ".join(link(kind, f"{results.name}{suffix}") for kind, suffix in kinds.items())
    yield ""
