"""The ranking as a notebook shows it: a table, and what has to be said of it. No torch."""

from superdef_bench.leaderboard.notes import below_ranking, failures
from superdef_bench.leaderboard.site.page import render
from superdef_bench.leaderboard.tables import ranking_table
from superdef_bench.results.ranking import rank
from superdef_bench.results.schema import Results
from superdef_bench.results.suite import suite_of_table
from superdef_bench.results.text import eps_text


def notebook(results: Results) -> str:
    """Return the ranking of results as a piece of HTML that needs no style and no script."""
    standings = rank(results)
    return render(
        "notebook.html",
        table=ranking_table(results, standings),
        last_eps=eps_text(results.last_eps),
        suite=suite_of_table(results, standings),
        suites=below_ranking(results, standings),
        failures=list(failures(results)),
    ).decode()
