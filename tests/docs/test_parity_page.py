"""docs/parity.md is what the command makes of the published cases."""

from pathlib import Path

from superdef_bench.leaderboard.parity import cases_of, parity_page

ROOT = Path(__file__).parents[2]


def test_the_page_is_that_of_the_cases() -> None:
    page = (ROOT / "docs/parity.md").read_text()
    assert page == parity_page(cases_of(ROOT / "leaderboards/parity")), (
        "superdef-bench verify autoattack -o leaderboards/parity --page docs/parity.md --only-page"
    )
