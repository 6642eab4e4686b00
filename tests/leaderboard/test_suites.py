"""Where a table says how hard its rows were attacked, and how it shows a row that is not ranked."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from superdef_bench.analysis.versus import why_not
from superdef_bench.cli.tables import print_ranking
from superdef_bench.leaderboard.index import index
from superdef_bench.leaderboard.markdown import leaderboard
from superdef_bench.leaderboard.site.accuracy import accuracy_page
from superdef_bench.leaderboard.site.home import home_page
from superdef_bench.leaderboard.site.notebook import notebook
from superdef_bench.results.ranking import rank
from superdef_bench.results.schema import Results
from tests.support.commands import Answer
from tests.support.documents import GOLDEN, write
from tests.support.ranked import Document, attack, bits, judged

WHY = "black box beats gradients"


def board(*, n: int = 256, quick: bool = False) -> Results:
    """Return two rows that faced AutoAttack, and one beside them that perhaps did not."""
    document = Document()
    document.attacks["strong"] = attack("autoattack")
    for name in ("none", "jpeg", "less"):
        document.defense(name, 10, clean=n, gray=n, n=n)
        document.row(name, "gray_box", "pgd", bits(n, n))
        if name != "less" or not quick:
            document.row(name, "bpda", "strong", bits(10, n))
    return document.results()


def masked() -> Results:
    """Return the golden results, the best row of which is so by a masked gradient."""
    document = json.loads(GOLDEN.read_text())
    document["defenses"]["jpeg"]["masking"] = judged("fail", WHY)
    return Results.of(document)


def shown(results: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Return what each outlet shows, white space as one."""
    standings = rank(results)
    print_ranking(results)
    found = {
        "terminal": capsys.readouterr().out,
        "page": leaderboard(results, standings),
        "index": index([results]),
        "site": accuracy_page(results, standings, tmp_path, "").decode(),
        "home": home_page([(results, standings)], []).decode(),
        "notebook": notebook(results),
    }
    return {where: " ".join(text.split()) for where, text in found.items()}


@pytest.mark.parametrize(
    ("facts", "heading", "word"),
    [
        ({}, "full", "full"),
        ({"quick": True}, "quick: not a robustness claim", "quick"),
        *[({"n": 255}, *["every attack of a full suite, on 255 images"] * 2)],
    ],
)
def test_every_outlet_heads_a_table_by_what_all_its_ranked_rows_faced(
    facts: dict[str, Any],
    heading: str,
    word: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = shown(board(**facts), tmp_path, capsys)
    assert f"linf 8/255, {'full suite' if heading == 'full' else heading}" in found["terminal"]
    on = ", on 256 images" if heading == "full" else ""
    assert f"Suite: **{heading}**{on}." in found["page"]
    assert f"; suite {heading}." in found["index"]
    assert f"| {word} |" in found["index"]
    for where in ("site", "notebook"):
        assert f"Suite: {heading}." in found[where]
    assert f">{word}<" in found["home"]


def test_every_outlet_says_of_each_row_which_suite_it_faced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = shown(board(quick=True), tmp_path, capsys)
    for where in ("terminal", "page", "site", "notebook"):
        assert "suite (full: AutoAttack): " in found[where]
        assert "suite (quick): less" in found[where]
    lines = leaderboard(board(), rank(board())).splitlines()
    assert "- suite (full: AutoAttack): every row" in lines


def test_a_row_whose_gradient_fails_has_its_number_and_the_reason_and_no_rank(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    found = shown(masked(), tmp_path, capsys)
    number = "≤ 20.8"
    assert f"│ – │ jpeg (fail) │ 95.8 │ 29.2 │ {number} │" in found["terminal"]
    assert f"not ranked (masking: fail - {WHY}): jpeg" in found["terminal"]
    assert f"| – | jpeg **(fail)** | 95.8 (80–99) | 29.2 (15–49) | {number} (9–40)" in found["page"]
    assert f"- jpeg is not ranked: masking: fail - {WHY}." in found["page"]
    assert f"| – | jpeg **(fail)** | 95.8 | 29.2 (15–49) | {number} (9–40)" in found["index"]
    assert f"2 of 4 rows are ranked. jpeg is not ranked: masking: fail - {WHY}." in found["index"]
    assert f"<li>jpeg is not ranked: masking: fail - {WHY}.</li>" in found["site"]
    assert found["site"].count("<tr data-hide>") == 2  # with the one that lacks cells
    first = leaderboard(masked(), rank(masked())).split("| :-- |")[1].splitlines()[1]
    assert first.startswith("| 1= | none |")


def test_commands_that_compare_go_on_beside_a_row_whose_gradient_fails(
    run_cli: Callable[..., Answer], tmp_path: Path
) -> None:
    results = masked()
    assert why_not(results, "jpeg") == [f"jpeg is not ranked: masking: fail - {WHY}"]
    document = write(tmp_path / "fails.json", results.document)
    for pair in ((GOLDEN, document), (document, GOLDEN)):
        answer = run_cli("compare", *pair)
        assert (answer.code, "0 worse" in answer.out) == (0, True), answer
    versus = run_cli("versus", document, "jpeg", "none")
    assert versus.code == 0
    assert "Adaptive" not in versus.out
    published = run_cli("leaderboard", document, "-o", tmp_path / "boards")
    assert published.code == 0
    assert run_cli("leaderboard", tmp_path / "boards/example.json", "--check").code == 0
