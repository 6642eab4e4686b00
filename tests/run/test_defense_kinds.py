"""Attacks that run against random or against deterministic defenses only, and what `none` meets."""

from collections.abc import Callable
from pathlib import Path

import pytest

from superdef_bench.results.contradictions import contradictions
from superdef_bench.results.load import load_results
from superdef_bench.results.schema import Results
from tests.support.commands import CONFIG, Answer

Run = Callable[..., Answer]
Write = Callable[..., Path]

KINDS = CONFIG.replace(
    "fgsm = {}",
    'fgsm = { rungs = ["gray_box"] }\n'
    'fixed = { plugin = "pgd", steps = 2, rungs = ["white_box"], defenses = "deterministic" }\n'
    'drawn = { plugin = "pgd", steps = 3, rungs = ["white_box"], defenses = "random" }',
).replace("bicubic_x2 = {}", "wavelet = {}\ngaussian_noise = {}")


def met(results: Results, defense: str) -> set[tuple[str, str]]:
    """Return the rungs and attacks of a row's cells."""
    return {(row.rung, row.attack) for row in results.rows(defense=defense) if row.attacked}


def test_each_kind_of_defense_meets_its_own_attacks_and_is_ranked(
    run_cli: Run, config: Write
) -> None:
    text = KINDS.replace('"white_box", "bpda"]', '"white_box"]').replace("limit = 8", "limit = 6")
    assert run_cli("run", config(text)).code == 0
    results = load_results(Path("runs/tiny"))
    gray, fixed, drawn = ("gray_box", "fgsm"), ("white_box", "fixed"), ("white_box", "drawn")
    assert met(results, "wavelet") - {("gray_box", "worst"), ("adaptive", "worst")} == {gray, fixed}
    assert drawn in met(results, "gaussian_noise")
    assert fixed not in met(results, "gaussian_noise")
    assert drawn not in met(results, "none")
    assert not any(facts.missing for facts in results.defenses.values())
    assert results.attacks["drawn"].defenses == "random"
    assert list(contradictions(results)) == []
    answer = run_cli("leaderboard", "runs/tiny", "-o", "boards")
    assert answer.code == 0, answer.err
    assert "random defenses only" in Path("boards/tiny.md").read_text()


@pytest.mark.parametrize(
    ("attack", "why"),
    [
        ('defenses = "random"', "its attacks run against random defenses only"),
        ('defenses = "some"', "'some'"),
    ],
)
def test_a_rung_without_such_an_attack_says_why(
    run_cli: Run, config: Write, attack: str, why: str
) -> None:
    answer = run_cli("run", config(CONFIG.replace("fgsm = {}", f"fgsm = {{ {attack} }}")), "--plan")
    assert why in " ".join((answer.out + answer.err).split())


def test_what_leaves_parts_out_of_examples_meets_the_bare_classifier_whole(
    run_cli: Run, config: Write
) -> None:
    text = CONFIG.replace("fgsm = {}", 'fgsm = {}\nautoattack = { eps = "8/255" }')
    text = text.replace("limit = 8", "limit = 4").replace("bicubic_x2 = {}", "")
    assert run_cli("run", config(text)).code == 0
    results = load_results(Path("runs/tiny"))
    (name,) = (n for n in results.attacks if n.startswith("autoattack"))
    goals = {row.rung: row.goal for row in results.rows(defense="none", attack=name)}
    assert goals == {"gray_box": "strength", "white_box": "verdict"}
    assert {row.goal for row in results.rows(defense="none", attack="fgsm")} == {"strength"}
    worst = results.worst("none", "adaptive")
    assert worst is not None
    cells = [row for row in results.rows(defense="none") if row.attacked and not row.worst]
    assert worst.correct <= min(row.correct for row in cells)
    assert list(contradictions(results)) == []
