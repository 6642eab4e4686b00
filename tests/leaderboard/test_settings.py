"""One table of the settings of every attack, whatever its plugin calls them."""

from pathlib import Path
from typing import Any

import pytest
import torch

from superdef_bench.benchmark.build import build
from superdef_bench.benchmark.config import load_config
from superdef_bench.core.loader import load_plugins
from superdef_bench.leaderboard.classifier import classifier_title
from superdef_bench.leaderboard.markdown import leaderboard
from superdef_bench.leaderboard.settings import settings_table
from superdef_bench.leaderboard.site import write_site
from superdef_bench.results.ranking import images_text, rank
from superdef_bench.results.schema import Results
from superdef_bench.run.facts import attack_facts
from tests.support.commands import with_rows
from tests.support.documents import example
from tests.support.rows import attack_of


def table(attacks: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return the settings of attacks by attack and column."""
    document = {**example(), "accuracy": [], "attacks": attacks}
    shown = settings_table(Results.of(document))
    lines = [[cell.text for cell in line.cells] for line in shown.lines]
    return {line[0]: dict(zip(shown.head, line, strict=True)) for line in lines}


def given(**arguments: Any) -> dict[str, str]:
    """Return the settings of an attack whose plugin says nothing beside its arguments."""
    facts = attack_of(arguments={"plugin": "theirs", **arguments})
    return table({"it": facts.model_dump()})["it"]


def test_the_built_in_attacks_say_what_they_make_of_their_arguments(tmp_path: Path) -> None:
    rows = """
pgd = { steps = 5, restarts = 2, loss = "margin", eps = ["4/255", "8/255"] }
far = { plugin = "pgd", relative_step = 0.1, norm = "l2", eps = "0.5" }
bim = {}
autoattack = { limit = 4 }
square = { queries = 1500, rungs = ["black_box"] }
additive_gaussian = { severity = 2 }
"""
    text = with_rows(rows).replace('rungs = ["gray_box", "w', 'rungs = ["black_box", "w')
    (tmp_path / "it.toml").write_text(text)
    config = load_config(tmp_path / "it.toml")
    built = build(config, load_plugins(third_party=False), torch.device("cpu"))
    found = table({attack.name: attack_facts(attack).model_dump() for attack in built.attacks})
    names = ("steps", "step size", "restarts", "loss", "queries", "other")
    shown = {name: tuple(found[name][key] for key in names) for name in found}
    assert shown == {
        "pgd": ("5", "0.5 eps", "2", "margin", "–", "random_starts = True, scale = 1"),
        "far": ("20", "0.1 eps", "1", "ce", "–", "random_starts = True, scale = 1"),
        "bim": ("10", "0.1 eps", "1", "ce", "–", "–"),
        "autoattack (own engine)": (
            *("100", "–", "1", "ce, targeted dlr, margin", "5,000"),
            "engine = own, version = standard",
        ),
        "square": ("–", "–", "–", "–", "1,500", "p_init = 0.8"),
        "additive_gaussian": ("–", "–", "–", "–", "–", "severity = 2"),
        "fgsm": ("1", "eps", "1", "ce", "–", "–"),
    }
    assert found["far"]["ball"] == "l2 0.5"
    assert found["pgd"]["ball"] == "linf 4/255, 8/255"
    assert found["additive_gaussian"]["ball"] == "none"
    assert (found["autoattack (own engine)"]["images"], found["pgd"]["images"]) == (
        "first 4",
        "all",
    )
    assert found["square"]["rungs"] == "black_box"


@pytest.mark.parametrize(
    ("arguments", "column", "text"),
    [
        ({"max_iter": 40}, "steps", "40"),
        ({"alpha": 0.00784}, "step size", "0.00784"),
        ({"rel_stepsize": 0.025}, "step size", "0.025 eps"),
        ({"relative_step": None}, "step size", "default"),
        ({"num_random_init": 3}, "restarts", "3"),
        ({"n_queries": 5000}, "queries", "5,000"),
        ({"loss": "dlr"}, "loss", "dlr"),
        ({"verbose": True, "gamma": 0.05}, "other", "verbose = True, gamma = 0.05"),
        ({}, "steps", "–"),
    ],
)
def test_arguments_of_other_libraries_stand_in_the_same_columns(
    arguments: dict[str, Any], column: str, text: str
) -> None:
    found = given(**arguments)
    assert found[column] == text
    assert found["other"] == (text if column == "other" else "–")


def test_draws_are_those_of_the_rows_and_missing_ones_are_told() -> None:
    document = example()
    for row in document["accuracy"]:
        if row["attack"] == "pgd":
            row["eot"] = 16 if row["rung"] == "bpda" else 1

    def draws(attack: str) -> list[str]:
        shown = settings_table(Results.of(document))
        line = next(line for line in shown.lines if line.cells[0].text == attack)
        return [line.cells[shown.head.index(title)].text for title in ("EOT", "draws")]

    assert draws("pgd") == ["1 or 16", "1"]
    assert draws("fgsm") == ["not recorded", "1"]


def test_an_attack_that_says_nonsense_of_itself_is_described_without_it(tmp_path: Path) -> None:
    (tmp_path / "it.toml").write_text(with_rows())
    plugins = load_plugins(third_party=False)
    built = build(load_config(tmp_path / "it.toml"), plugins, torch.device("cpu"))
    (attack,) = built.attacks
    attack.attack.steps = "many"  # type: ignore[attr-defined]  # what a plugin may do
    attack.attack.restarts = -1  # type: ignore[attr-defined]  # likewise
    attack.attack.step_size = lambda eps: 1 / 0  # type: ignore[attr-defined]  # likewise
    settings = attack_facts(attack).settings
    assert settings is not None
    assert settings.model_dump(exclude_none=True) == {"loss": "ce"}


def test_page_and_site_have_the_table(tmp_path: Path) -> None:
    results = Results.of(example())
    row = "| pgd | pgd | linf 2/255, 8/255 | gray_box, white_box, bpda | 24 | 5 | default | 1 |"
    assert row in leaderboard(results, rank(results)).split("## Attack settings")[1]
    write_site({tmp_path / "example": results}, tmp_path / "site")
    site = (tmp_path / "site/example.html").read_text()
    assert 'id="settings-table"' in site
    for text in (classifier_title(results), images_text(results, rank(results)), "1="):
        assert f">{text}<" in site or f", {text}, 3x32x32<" in site
