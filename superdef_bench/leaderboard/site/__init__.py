"""A static site of leaderboards: pages that hold all they need and ask nobody. No torch."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from superdef_bench.core.errors import ConfigError
from superdef_bench.io.files import write_atomically
from superdef_bench.leaderboard.publish import table
from superdef_bench.leaderboard.quality import quality_files
from superdef_bench.leaderboard.site.accuracy import accuracy_page
from superdef_bench.leaderboard.site.home import home_page
from superdef_bench.leaderboard.site.page import HOME
from superdef_bench.leaderboard.site.quality import quality_page
from superdef_bench.results.ranking import rank
from superdef_bench.results.schema import Published, QualityResults, Results


def write_site(boards: Mapping[Path, Published], folder: Path, *, command: str = "") -> Path:
    """Write the pages of leaderboards and the files behind them; return the first page.

    Args:
        boards: By the folder and name of each; pictures in that folder that show the same are
            not drawn again.
        folder: Where to write.
        command: What writes this site; each page of a benchmark shows it.

    Raises:
        ConfigError: Two have the same name, so that one page would replace the other.
    """
    names = Counter(board.name.casefold() for board in boards.values())
    twice = next((board.name for board in boards.values() if names[board.name.casefold()] > 1), "")
    if twice:
        raise ConfigError(
            f"two of the results are named {twice!r}", hint="make a site of its own for each"
        )
    ranked = {
        place: (results, rank(results))
        for place, results in boards.items()
        if isinstance(results, Results)
    }
    quality = [results for results in boards.values() if isinstance(results, QualityResults)]
    pages = {HOME: home_page(list(ranked.values()), quality)}
    for place, (results, standings) in ranked.items():
        pages[f"{results.name}.html"] = accuracy_page(results, standings, place.parent, command)
        pages[f"{results.name}.csv"] = table(results).encode()
    for photographs in quality:
        pages[f"{photographs.name}.html"] = quality_page(photographs, command)
        pages[f"{photographs.name}.csv"] = quality_files(photographs)[".csv"]
    for board in boards.values():
        pages[f"{board.name}.json"] = board.to_json()
    for name, content in pages.items():
        write_atomically(folder / name, content, durable=False)
    return folder / HOME
