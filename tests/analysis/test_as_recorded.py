"""The config of older results runs with the arguments that it ran with, whatever defaults are."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from superdef_bench.analysis.run_folder import as_recorded, config_of
from superdef_bench.core.loader import load_plugins
from superdef_bench.results.load import load_results
from tests.support.commands import Answer
from tests.support.documents import write

PUBLISHED = Path(__file__).parents[2] / "leaderboards/signs-linf.json"


def arguments(path: Path, name: str) -> dict[str, Any]:
    results = load_results(path)
    config = as_recorded(config_of(results), results, load_plugins())
    (choice,) = (choice for choice in config.attacks if choice.name == name)
    return dict(choice.arguments)


def test_a_table_of_before_the_engine_runs_the_reference() -> None:
    assert arguments(PUBLISHED, "autoattack")["engine"] == "reference"


@pytest.mark.ci
def test_its_rows_hold(run_cli: Callable[..., Answer]) -> None:
    rows = load_results(PUBLISHED).accuracy
    number = next(n for n, row in enumerate(rows, 1) if row.attack == "autoattack")
    answer = run_cli("reproduce", PUBLISHED, "--row", number)
    assert answer.code == 0, answer.out


@pytest.mark.parametrize("engine", ["own", "reference"])
def test_a_recorded_default_stands(tmp_path: Path, engine: str) -> None:
    document = json.loads(PUBLISHED.read_text())
    document["attacks"]["autoattack"]["arguments"]["engine"] = engine
    document["attacks"]["pgd"]["arguments"]["relative_step"] = 0.5
    write(tmp_path / "results.json", document)
    assert arguments(tmp_path / "results.json", "autoattack")["engine"] == engine
    assert arguments(tmp_path / "results.json", "pgd")["relative_step"] == 0.5
