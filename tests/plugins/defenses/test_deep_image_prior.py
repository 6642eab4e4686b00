"""Deep Image Prior as a defense."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from superdef_bench.core.errors import ConfigError
from superdef_bench.core.loader import load_dataset, load_defense
from superdef_bench.core.transform import InputTransform
from superdef_bench.results.load import load_results
from superdef_bench.testing import check_defense
from tests.support.commands import CONFIG, Answer

SIGNS = load_dataset("signs", split="test")


def made(**arguments: object) -> InputTransform:
    defense = load_defense("deep_image_prior", **arguments)
    assert isinstance(defense, InputTransform)
    return defense


@pytest.mark.parametrize("stop", ["static", "eswmv", "subsample", "plateau"])
def test_it_keeps_its_contract(stop: str) -> None:
    found = list(check_defense(made(stop=stop, steps=2)))
    assert len(found) > 5
    assert [(name, problem) for name, problem in found if problem] == []


def test_what_it_draws_comes_close_to_the_image_in_its_steps() -> None:
    images = SIGNS.load(range(2))[0]
    errors = []
    for steps in (2, 60):
        torch.manual_seed(0)
        stage = made(steps=steps).protect(torch.nn.Identity(), None)  # type: ignore[arg-type]  # asks no task
        with torch.no_grad(), stage.draws(torch.arange(2), 1, "score"):
            errors.append(float((stage.defend(images) - images).square().mean()))
    assert errors[1] < errors[0] / 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"stop": "oracle"}, "is 'oracle'"),
        ({"net": "large"}, "is 'large'"),
        ({"steps": 0}, "steps is 0"),
        ({"attack_steps": -1}, "attack_steps is -1"),
    ],
)
def test_an_argument_that_is_none_is_told(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        made(**arguments)


@pytest.mark.ci
def test_a_run_attacks_it_by_bpda_and_ranks_it(
    run_cli: Callable[..., Answer], config: Callable[..., Path]
) -> None:
    text = CONFIG.replace("bicubic_x2 = {}", "deep_image_prior = { steps = 2 }")
    text = text.replace("limit = 8", "limit = 2\ndraws = 20\neot = 1")
    answer = run_cli("run", config(text))
    assert answer.code == 0, answer.err
    results = load_results(Path("runs/tiny"))
    rows = {row.rung for row in results.rows(defense="deep_image_prior") if row.attacked}
    assert {"gray_box", "bpda"} <= rows
    assert "white_box" not in rows
    assert not results.defenses["deep_image_prior"].missing


def test_attacks_are_given_a_shorter_fit_where_that_is_asked_for() -> None:
    view = made(steps=90, stop="eswmv", attack_steps=7).attack_view()
    assert vars(view)["steps"] == 7
    assert vars(view)["stop"] == "static"
    whole = made()
    assert whole.attack_view() is whole
