"""The page of a benchmark. No torch."""

from collections.abc import Sequence
from pathlib import Path

from superdef_bench.core.threats import Rung
from superdef_bench.leaderboard.again import commands
from superdef_bench.leaderboard.classifier import classifier_table, classifier_title
from superdef_bench.leaderboard.notes import below_ranking, failures, notes, stages
from superdef_bench.leaderboard.plots import drawn_in
from superdef_bench.leaderboard.publish import pictures
from superdef_bench.leaderboard.sections import times_note, work_note
from superdef_bench.leaderboard.settings import settings_table
from superdef_bench.leaderboard.site.page import render
from superdef_bench.leaderboard.site.picture import inline
from superdef_bench.leaderboard.tables import (
    attacks_table,
    masking_table,
    ranking_table,
    times_table,
    work_table,
)
from superdef_bench.results.config_text import config_toml
from superdef_bench.results.ranking import WITHIN_A_RANK, Standing, images_text
from superdef_bench.results.schema import Results
from superdef_bench.results.suite import suite_of_table
from superdef_bench.results.text import eps_text

_RANKING = (  # a reader of screens names a row by its first cell
    *("defense", "rank", "clean", "gray box", "adaptive", "illusion gap", "like for like"),
    *("median eps", "masking", "n"),
)


def accuracy_page(
    results: Results, standings: Sequence[Standing], drawn: Path, command: str
) -> bytes:
    """Return the page of a benchmark.

    Args:
        results: Of the benchmark.
        standings: Their ranking.
        drawn: Folder whose pictures need not be drawn again.
        command: What writes the site; empty where nobody says.
    """
    with drawn_in(drawn):
        shown = [
            (picture.title, inline(picture.draw(results, standings), f"p{place}"))
            for place, picture in enumerate(pictures(results, standings).values())
        ]
    costs = []
    if results.cost:
        work = work_table(results, standings)
        costs.append((work, work_note(work)))
        if times := times_table(results, standings):
            costs.append((times, times_note(results)))
    return render(
        "accuracy.html",
        results=results,
        suite=suite_of_table(results, standings),
        suites=below_ranking(results, standings),
        facts=_facts(results, standings),
        last_eps=eps_text(results.last_eps),
        within_a_rank=WITHIN_A_RANK,
        ranking=ranking_table(results, standings).pick(*_RANKING),
        pictures=shown,
        settings=settings_table(results),
        attacks=attacks_table(results, standings),
        masking=masking_table(results, standings),
        costs=costs,
        again=[*commands(results), *filter(None, [command])],
        config=config_toml(results).splitlines(),
        classifier=classifier_table(results),
        rows=stages(results),
        failures=list(failures(results)),
        notes=notes(results, standings),
    )


def _facts(results: Results, standings: Sequence[Standing]) -> dict[str, str]:
    """Return what was attacked, how and where, by what it is called."""
    data, threat, provenance = results.dataset, results.threat, results.provenance
    machine = provenance.machine
    shape = "x".join(map(str, data.shape))
    return {
        "dataset": f"{data.name} {data.split}, {images_text(results, standings)}, {shape}",
        "classes": str(data.classes),
        "classifier": classifier_title(results),
        "threat": f"{threat.norm}, eps {', '.join(map(eps_text, threat.eps))}",
        "goal": f"top-{threat.topk}, target {threat.target}"
        + (", scored at 8 bits" if threat.eightbit else ""),
        "rungs": ", ".join(Rung(rung).title for rung in results.rungs),
        "seed": str(results.seed),
        "machine": f"{machine.processor}, {machine.cores} cores, {machine.gpu}",
        "versions": ", ".join(f"{name} {value}" for name, value in provenance.versions.items()),
    }
