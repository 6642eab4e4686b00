"""The zoo's benchmark says what it downloads, and needs no network for what is there."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from superdef_bench.benchmark.config import find_config, load_config
from tests.support.cifar10 import write_cifar10
from tests.support.commands import Answer, records
from tests.support.downloads import offline
from tests.support.zoo import write_zoo, zoo

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


def told(data: Path) -> list[str]:
    """Return what is said of the downloads of the zoo's benchmark."""
    weights = f"https://drive.google.com/uc?id={zoo()['Wong2020Fast']['gdrive_id']}"
    target = data / "models" / "cifar10" / "Linf" / "Wong2020Fast.pt"
    return [
        f"1. cifar10 from {IMAGES} to {data / 'cifar-10-python.tar.gz'}",
        f"2. then weights of Wong2020Fast from {weights} (size not known beforehand) to {target}",
    ]


def test_a_plan_downloads_nothing_and_says_what_a_run_would(
    data: Path, run_cli: Callable[..., Answer]
) -> None:
    answer = run_cli("run", "robustbench-linf", "--plan", "--limit", 16)
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[1:3] == told(data)
    assert "robustbench-linf: at most 16 images, 9 defenses" in answer.out
    rungs = [line.split("│")[1:5] for line in lines if "autoattack" in line]
    cells = [[cell.strip() for cell in row] for row in rungs]
    assert cells == [[r, "autoattack", "8/255", "16"] for r in ("gray_box", "white_box", "bpda")]
    assert "rows: none, nearest_x2," in answer.out
    assert not data.exists()


def test_a_run_says_what_it_downloads_before_it_does(
    data: Path, run_cli: Callable[..., Answer]
) -> None:
    answer = run_cli("run", "robustbench-linf", "-a", "fgsm", "-d", "jpeg")
    assert (answer.code, answer.out) == (2, "")
    head, *lines, error, hint = answer.err.splitlines()
    assert head.startswith("note: to be downloaded before anything starts")
    assert lines == [f"note: {line}" for line in told(data)]
    assert error.startswith("error: cifar10 cannot be downloaded")
    assert hint.startswith(f"hint: get {IMAGES} by hand into {data}")


def test_a_plan_lists_what_is_missing_and_is_whole_where_nothing_is(
    everything: Path, run_cli: Callable[..., Answer]
) -> None:
    words = ("run", "robustbench-linf", "--plan", "-a", "fgsm", "-d", "jpeg", "--rung", "gray_box")
    whole = run_cli(*words)
    assert (whole.code, whole.err) == (0, "")
    assert "forwards" in whole.out
    assert "download" not in whole.out
    (everything / "cifar-10-batches-py" / "test_batch").write_bytes(b"damaged")
    (everything / "models" / "cifar10" / "Linf" / "Wong2020Fast.pt").unlink()
    assert run_cli(*words).out.splitlines()[1:3] == told(everything)


def test_the_zoo_benchmark_runs_without_network(
    everything: Path, run_cli: Callable[..., Answer], tmp_path: Path
) -> None:
    words = ("--limit", 2, "-d", "bicubic_x2", "-a", "fgsm", "-a", "pgd", "--rung", "gray_box")
    answer = run_cli("run", "robustbench-linf", *words)
    assert (answer.code, answer.err) == (0, "")
    assert "bicubic_x2" in answer.out
    rows = records(tmp_path / "runs/robustbench-linf")
    assert {row["attack"] for row in rows if row["rung"] == "gray_box"} == {"fgsm", "pgd"}
    assert len({row["image_id"] for row in rows}) == 2


@pytest.mark.slow
def test_its_whole_suite_runs_without_network(
    everything: Path, run_cli: Callable[..., Answer], tmp_path: Path
) -> None:
    config = load_config(find_config("robustbench-linf"))
    # A row with a gradient and one without meet every rung.
    answer = run_cli("run", "robustbench-linf", "--limit", 2, "-d", "bicubic_x2", "-d", "jpeg")
    assert (answer.code, answer.err) == (0, "")
    rows = records(tmp_path / "runs/robustbench-linf")
    for rung in map(str, config.rungs):
        attacks = {row["attack"] for row in rows if row["rung"] == rung}
        assert attacks == {row.name for row in config.attacks}
    assert len({row["image_id"] for row in rows}) == 2
