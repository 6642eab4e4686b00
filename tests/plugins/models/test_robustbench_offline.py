"""A benchmark on RobustBench's zoo says what it downloads, and needs no network for what is there."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from superdef_bench.benchmark.config import find_config, load_config
from tests.support.cifar10 import write_cifar10
from tests.support.commands import Answer, records
from tests.support.downloads import offline
from tests.support.zoo import write_zoo

IMAGES = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz (170,498,071 bytes)"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return offline(monkeypatch, tmp_path / "data")


@pytest.fixture
def everything(data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a data folder with a few images of CIFAR-10, and a zoo model of random weights."""
    write_zoo(data)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    return write_cifar10(data, pixels, [*range(10)] * 2, monkeypatch)


def check_suite(answer: Answer, folder: Path, *, attacks: set[str]) -> None:
    assert answer.code == 0, answer.err
    assert "download" not in answer.err
    rows = records(folder)
    assert {row["attack"] for row in rows if row["rung"] not in ("", "masking")} == attacks
    config = load_config(find_config("robustbench-linf"))
    assert len({row["defense"] for row in rows}) == len(config.defenses)
    assert len({row["image_id"] for row in rows}) == 2


def test_attacks_of_the_zoo_benchmark_run_without_network(
    everything: Path, run_cli: Callable[..., Answer], tmp_path: Path
) -> None:
    answer = run_cli("run", "robustbench-linf", "--limit", 2, "-a", "fgsm", "-a", "pgd")
    check_suite(answer, tmp_path / "runs/robustbench-linf", attacks={"fgsm", "pgd"})


@pytest.mark.slow
def test_the_whole_zoo_benchmark_runs_without_network(
    everything: Path, run_cli: Callable[..., Answer], tmp_path: Path
) -> None:
    answer = run_cli("run", "robustbench-linf", "--limit", 2)
    names = {row.name for row in load_config(find_config("robustbench-linf")).attacks}
    check_suite(answer, tmp_path / "runs/robustbench-linf", attacks=names)
