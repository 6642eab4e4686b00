"""The config that a page carries is a config: it is read as what the results were made by."""

from pathlib import Path
from typing import Any

import pytest

from superdef_bench.benchmark.config import Config, load_config
from superdef_bench.core.shipped import shipped
from superdef_bench.results.config_text import config_toml
from superdef_bench.results.load import load_results
from superdef_bench.results.schema import Results
from tests.support.documents import example

_BOARDS = Path(__file__).parents[2] / "leaderboards"
_PUBLISHED = [p for p in sorted(_BOARDS.glob("*.json")) if p.stem != "super-resolution-x2"]
_SHIPPED = sorted(shipped("configs").glob("*.toml"))

ALL = """
[run]
dataset = { plugin = "signs", split = "test" }
model = "first"
limit = 8
limits = { white_box = 4 }
presets = ["mustafa_attacks"]
cell_seconds = 60

[threat]
norm = "l2"
eps = [0.25, "1/2"]

[transfer]
surrogates = ["model:second", "model:signs_resnet14", "defense:lent", "defense:jpeg"]

[models]
first = { plugin = "checkpoint", path = "a.safetensors", mean = [0.5, 1.0] }
second = { plugin = "signs_resnet8" }

[attacks]
pgd = { steps = 2, relative_step = 0.1, limit = 4, rungs = ["gray_box"] }
"a b" = { plugin = "pgd", norm = "linf", eps = "8/255" }

[defenses]
jpeg = { quality = 50, limit = 4 }
lent = { plugin = "bicubic_x2", output = "resize_back" }
both = { chain = ["jpeg", { plugin = "bicubic_x2", output = "resize_back" }] }
"""


def as_results(config: Config) -> Results:
    return Results.of({**example(), "config": config.model_dump(mode="json")})


def read_again(config: Config, folder: Path) -> Config:
    file = folder / f"{config.name}.toml"
    file.write_text(config_toml(as_results(config)), encoding="utf-8")
    return load_config(file)


@pytest.mark.parametrize("path", _PUBLISHED, ids=lambda path: path.stem)
def test_the_config_of_a_published_page_is_that_of_its_results(path: Path, tmp_path: Path) -> None:
    results = load_results(path)
    file = tmp_path / f"{results.config['name']}.toml"
    file.write_text(config_toml(results))
    assert load_config(file) == Config.model_validate(results.config)


@pytest.mark.parametrize("path", _SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_config_comes_back(path: Path, tmp_path: Path) -> None:
    config = load_config(path)
    assert read_again(config, tmp_path).model_dump() == config.model_dump()


def test_everything_that_a_config_can_say_comes_back(tmp_path: Path) -> None:
    (tmp_path / "all.toml").write_text(ALL)
    config = load_config(tmp_path / "all.toml")
    assert read_again(config, tmp_path).model_dump() == config.model_dump()


def test_what_was_selected_comes_back_and_a_row_that_only_lends_is_told(tmp_path: Path) -> None:
    (tmp_path / "all.toml").write_text(ALL)
    whole = load_config(tmp_path / "all.toml")
    config = whole.select(defenses=["jpeg"], attacks=["fgsm"], rungs=["gray_box"], limit=3)
    text = config_toml(as_results(config))
    assert text.startswith(
        "# lent: no row, lends its examples only; run with -d none -d jpeg\n\n[run]\n"
    )
    again = read_again(config, tmp_path).select(defenses=["none", "jpeg"])
    assert again.model_dump() == config.model_dump()  # rows of [models] are no part of results


@pytest.mark.parametrize(
    "broken",
    [
        {"name": "example"},
        {"name": "example", "attacks": 3},
        {**example()["config"], "seed": [None]},
        {**example()["config"], "model": {"name": "a", "plugin": "a", "arguments": None}},
    ],
)
def test_a_config_without_a_form_is_left_out(broken: dict[str, Any]) -> None:
    assert config_toml(Results.of({**example(), "config": broken})) == ""
