"""Terminal, page, index, site and gate say the same number of images for the same thing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from superdef_bench.cli.tables import print_ranking
from superdef_bench.gate.compare import compare
from superdef_bench.gate.findings import parse_limits
from superdef_bench.gate.reports import to_text
from superdef_bench.leaderboard.classifier import classifier_title
from superdef_bench.leaderboard.index import index
from superdef_bench.leaderboard.markdown import leaderboard
from superdef_bench.leaderboard.site.home import home_page
from superdef_bench.results.load import load_results
from superdef_bench.results.ranking import RANKED_BY, rank
from tests.support.commands import Answer

_BOARD = Path(__file__).parents[2] / "leaderboards/signs-linf.json"
_IMAGES = "1,000 images, ranked on 64"


def test_every_place_says_how_many_images_are_ranked(
    run_cli: Callable[..., Answer], capsys: pytest.CaptureFixture[str]
) -> None:
    results = load_results(_BOARD)
    standings = rank(results)
    ranked = {s.adaptive.n for s in standings if s.rank is not None and s.adaptive}
    assert (results.dataset.images, ranked) == (1000, {64})
    assert f"- {_IMAGES}, the limit of" in leaderboard(results, standings)
    assert index([results]).count(_IMAGES) == 2
    assert _IMAGES in home_page([(results, standings)], []).decode()
    compared = run_cli("compare", _BOARD, _BOARD)
    assert compared.out.splitlines().count(_IMAGES) == 1
    assert f"; {_IMAGES}." in run_cli("compare", _BOARD, _BOARD, "--format", "markdown").out
    print_ranking(results)
    printed = capsys.readouterr().out
    assert f"signs, {_IMAGES}; {classifier_title(results)}" in " ".join(printed.splitlines())


def test_the_terminal_says_in_one_line_how_ranks_come_about(
    run_cli: Callable[..., Answer], capsys: pytest.CaptureFixture[str]
) -> None:
    print_ranking(load_results(_BOARD))
    printed = capsys.readouterr().out.splitlines()
    assert RANKED_BY in printed
    assert max(map(len, printed)) <= 80
    rows = [line.split("│")[1:3] for line in printed if line.startswith("│")]
    places = {name.strip(): place.strip() for place, name in rows}
    assert (places["adversarial_training"], places["median"], places["wavelet"]) == (
        "1",
        "2=",
        "2=",
    )


def test_two_results_that_are_ranked_on_other_images_are_told_apart() -> None:
    results = load_results(_BOARD)
    facts = results.defenses
    unranked = results.model_copy(
        update={
            "defenses": {
                name: defense.model_copy(update={"missing": ["it burnt"]})
                for name, defense in facts.items()
            }
        }
    )
    text = to_text(compare(results, unranked, parse_limits([]), names=("old", "new")))
    assert f"old: {_IMAGES}\nnew: 1,000 images, no row ranked\n" in text
