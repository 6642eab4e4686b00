"""What a page says of the attacked classifier: no two networks have one header."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from superdef_bench.benchmark.build import build
from superdef_bench.benchmark.config import load_config
from superdef_bench.core.loader import load_plugins
from superdef_bench.leaderboard.classifier import classifier_table, classifier_title
from superdef_bench.leaderboard.index import index
from superdef_bench.leaderboard.markdown import leaderboard
from superdef_bench.leaderboard.site.home import home_page
from superdef_bench.nn import SHIPPED
from superdef_bench.results.load import load_results
from superdef_bench.results.ranking import rank
from superdef_bench.results.schema import Results
from superdef_bench.run.facts import model_facts
from tests.support.commands import CONFIG
from tests.support.documents import GOLDEN, example

_BOARDS = Path(__file__).parents[2] / "leaderboards"


@pytest.fixture
def results_of(tmp_path: Path) -> Callable[[str], Results]:
    """Return a function that gives the golden results with another classifier, really built."""

    def make(model: str) -> Results:
        (tmp_path / "it.toml").write_text(CONFIG.replace('"signs_resnet8"', model))
        config = load_config(tmp_path / "it.toml")
        benchmark = build(config, load_plugins(third_party=False), torch.device("cpu"))
        return Results.of({**example(), "model": model_facts(benchmark).model_dump()})

    return make


def facts(results: Results) -> dict[str, str]:
    """Return the rows of the table as the Markdown page has them."""
    page = leaderboard(results, rank(results))
    part = page.split("## Classifier\n\n")[1].split("\n\n")[0]
    cells = [line.strip("| ").split(" | ") for line in part.splitlines()[2:]]
    return dict(cells)


def test_two_checkpoints_of_one_name_never_have_one_header(
    results_of: Callable[[str], Results], tmp_path: Path
) -> None:
    first = load_file(SHIPPED / "signs_resnet8.safetensors")
    name = next(name for name in first if name.endswith("bias"))
    second = {**first, name: first[name] + 1e-6}
    pages, titles = [], []
    for number, weights in enumerate((first, second)):
        (tmp_path / str(number)).mkdir()
        path = tmp_path / str(number) / "mine.safetensors"
        save_file(weights, path)
        results = results_of(
            f'{{ plugin = "checkpoint", path = "{path}", architecture = "resnet8", '
            "num_classes = 20 }"
        )
        assert results.model.name == "checkpoint"
        titles.append(classifier_title(results))
        page = leaderboard(results, rank(results))
        pages.append(next(line for line in page.splitlines() if line.startswith("- classifier")))
        assert titles[-1] in index([results])
        assert titles[-1] in home_page([(results, rank(results))], []).decode()
        told = facts(results)
        assert told["plugin"] == "checkpoint"
        assert told["architecture"] == "ResNet"
        assert "num_classes = 20" in told["arguments"]
        assert told["weights file"] == "mine.safetensors"
        assert told["sha256 of that file"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(set(titles)) == len(set(pages)) == 2
    assert all(re.fullmatch(r"checkpoint \(ResNet, weights sha256 \w{12}\)", t) for t in titles)


def test_normalisation_is_no_architecture_and_makes_another_network(
    results_of: Callable[[str], Results],
) -> None:
    head = f'plugin = "checkpoint", path = "{SHIPPED / "signs_resnet8.safetensors"}"'
    rest = 'architecture = "resnet8", num_classes = 20'
    plain = results_of(f"{{ {head}, {rest} }}")
    scaled = results_of(f'{{ {head}, {rest}, mean = "0.1", std = "1.0" }}')
    assert scaled.model.architecture == plain.model.architecture == "ResNet"
    assert scaled.model.file == plain.model.file == "signs_resnet8.safetensors"
    assert classifier_title(scaled) != classifier_title(plain)


def test_the_shipped_classifier_names_its_file_parameters_and_clean_accuracy(
    results_of: Callable[[str], Results],
) -> None:
    told = facts(results_of('"signs_resnet8"'))
    said = json.loads((SHIPPED / "signs_resnet8.json").read_text())
    assert told["sha256 of that file"] == said["sha256"]
    assert told["parameters"] == "78,356"
    assert told["clean accuracy"] == "95.8 (80–99) on 24 images"
    assert told["arguments"] == "none"


@pytest.mark.parametrize("path", sorted(_BOARDS.glob("*-l*.json")), ids=lambda path: path.stem)
def test_what_older_results_lack_is_said_to_lack(path: Path) -> None:
    results = load_results(path)
    told = {line.cells[0].text: line.cells[1].text for line in classifier_table(results).lines}
    assert told["plugin"] == results.config["model"]["plugin"]
    if results.model.architecture is None:
        assert told["architecture"] == told["sha256 of that file"] == "not recorded"
    assert told["parameters"].replace(",", "").isdigit()
    assert told["sha256 of code, arguments and weights"] == results.model.fingerprint


@pytest.mark.parametrize("broken", [{}, {"model": 3}, {"model": {"arguments": 3}}])
def test_a_config_that_says_nothing_of_the_classifier_is_no_error(broken: dict[str, Any]) -> None:
    results = Results.of({**example(), "cost": [], "config": {"name": "example", **broken}})
    told = facts(results)
    assert told["plugin"] == told["parameters"] == "not recorded"
    assert load_results(GOLDEN).model.architecture is None
