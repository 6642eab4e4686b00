"""A static site of leaderboards: pages that hold all they need and ask nobody. No torch."""

from collections.abc import Mapping
from pathlib import Path

from superdef_bench.files import write_atomically
from superdef_bench.leaderboard import Publishable, table
from superdef_bench.results import Results
from superdef_bench.site.accuracy import accuracy_page
from superdef_bench.site.home import home_page
from superdef_bench.site.page import HOME
from superdef_bench.site.quality import quality_page


def write_site(boards: Mapping[Path, Publishable], folder: Path) -> Path:
    """Write the pages of leaderboards and the files behind them; return the first page.

    Args:
        boards: By the folder and name of each; pictures in that folder that show the same are
            not drawn again.
        folder: Where to write.
    """
    pages = {HOME: home_page(list(boards.values()))}
    for place, results in boards.items():
        if isinstance(results, Results):
            pages[f"{results.name}.html"] = accuracy_page(results, place.parent)
            pages[f"{results.name}.csv"] = table(results).encode()
        else:
            pages[f"{results.name}.html"] = quality_page(results)
            pages[f"{results.name}.csv"] = results.files()[".csv"]
    for name, content in pages.items():
        write_atomically(folder / name, content)
    for results in boards.values():
        results.save(folder / f"{results.name}.json")
    return folder / HOME
