"""The page of restored photographs. No torch."""

from superdef_bench.leaderboard.again import commands
from superdef_bench.leaderboard.site.page import render
from superdef_bench.leaderboard.tables import quality_table
from superdef_bench.results.schema import QualityResults


def quality_page(results: QualityResults, command: str) -> bytes:
    """Return the page of networks that restore photographs.

    Args:
        results: Of the networks.
        command: What writes the site; empty where nobody says.
    """
    again = [*commands(results), *filter(None, [command])]
    sets = {name: f"sha256 {sha256[:16]}" for name, sha256 in results.sets.items()}
    return render(
        "quality.html", results=results, sets=sets, quality=quality_table(results), again=again
    )
