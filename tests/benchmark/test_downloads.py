"""What plugins download is asked of them before anything is built of a benchmark."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.commands import CONFIG, Answer
from tests.support.downloads import offline

FETCHED = """
from pathlib import Path
from superdef_bench import Download, hookimpl, load_dataset

PLACE = Path("fetched")

def fetched(*, split: str = "test"):
    PLACE.write_text(split)
    return load_dataset("signs", split=split)

def downloads(split: str = "test"):
    return [] if PLACE.exists() else [Download("mine", "https://example.org/mine", PLACE, 1234)]

fetched.downloads = downloads

@hookimpl
def register_datasets():
    return {"fetched": fetched}
"""


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return offline(monkeypatch, tmp_path / "data")


def test_a_plugin_of_ones_own_is_asked_too(
    run_cli: Callable[..., Answer],
    config: Callable[..., Path],
    plugin_folder: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    path = config(CONFIG.replace('"signs"', '{ plugin = "fetched", split = "test" }'))
    words = ("run", path, "--plugins-dir", plugin_folder(FETCHED), "--limit", 2, "-d", "none")
    plan = run_cli(*words, "--plan")
    assert plan.code == 0, plan.err
    line = "1. mine from https://example.org/mine (1,234 bytes) to fetched"
    assert plan.out.splitlines()[1] == line
    assert not (tmp_path / "fetched").exists()
    run = run_cli(*words)
    assert run.code == 0, run.err
    assert f"note: {line}\n" in run.err
    again = run_cli(*words, "--plan")
    assert (again.code, again.err) == (0, "")
    assert "forwards" in again.out
    assert "mine" not in again.out


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("['https://example.org']", "downloads() lists str, no Download"),
        ("1 / 0", "raised ZeroDivisionError"),
    ],
)
def test_a_plugin_that_tells_of_something_else(
    told: str,
    message: str,
    run_cli: Callable[..., Answer],
    config: Callable[..., Path],
    plugin_folder: Callable[[str], Path],
) -> None:
    folder = plugin_folder(FETCHED.replace("return []", f"return {told} if True else []"))
    answer = run_cli("run", config(CONFIG.replace('"signs"', '"fetched"')), "--plugins-dir", folder)
    assert (answer.code, answer.out) == (2, "")
    assert f"dataset 'fetched'{':' if 'lists' in message else ''} {message}" in answer.err


HUB = "models/torchvision/checkpoints/"
SQUEEZENET = "squeezenet1_1-b8a52dc0.pth"
GTSRB = "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/"


@pytest.mark.parametrize(
    ("key", "row", "addresses", "targets"),
    [
        (
            "model",
            '{ plugin = "torchvision", name = "squeezenet1_1" }',
            [f"https://download.pytorch.org/models/{SQUEEZENET} (size not known beforehand)"],
            [HUB + SQUEEZENET],
        ),
        (
            "model",
            '{ plugin = "timm", name = "test_vit" }',
            ["https://huggingface.co/timm/test_vit.r160_in1k/resolve/main/model.safetensors (size"],
            ["models/timm/test_vit.r160_in1k/model.safetensors"],
        ),
        (
            "dataset",
            '"cifar100"',
            ["https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz (169,001,437 bytes)"],
            ["cifar-100-python.tar.gz"],
        ),
        (
            "dataset",
            '"gtsrb"',
            [f"{GTSRB}GTSRB_Final_Test_Images.zip (size", f"{GTSRB}GTSRB_Final_Test_GT.zip (size"],
            ["gtsrb/GTSRB_Final_Test_Images.zip", "gtsrb/GTSRB_Final_Test_GT.zip"],
        ),
        ("dataset", '"mnist"', ["https://"] * 4, ["MNIST/raw/train-images-idx3-ubyte.gz"]),
    ],
)
def test_what_the_shipped_plugins_download(
    key: str,
    row: str,
    addresses: list[str],
    targets: list[str],
    data: Path,
    run_cli: Callable[..., Answer],
    config: Callable[..., Path],
) -> None:
    before = {"model": '"signs_resnet8"', "dataset": '"signs"'}[key]
    answer = run_cli("run", config(CONFIG.replace(f"{key} = {before}", f"{key} = {row}")), "--plan")
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()[1 : 1 + len(addresses)]
    for number, (line, address) in enumerate(zip(lines, addresses, strict=True), start=1):
        assert line.startswith(f"{number}. ")
        assert f" from {address}" in line
    for line, target in zip(lines, targets, strict=False):
        assert line.endswith(f" to {data / target}")
    assert not data.exists()


@pytest.mark.parametrize(
    "row",
    [
        '{ plugin = "torchvision", name = "squeezenet1_1", weights = "none", num_classes = 20 }',
        '{ plugin = "timm", name = "resnet10t", weights = "none", num_classes = 20 }',
    ],
)
def test_random_weights_are_no_download(
    row: str, data: Path, run_cli: Callable[..., Answer], config: Callable[..., Path]
) -> None:
    answer = run_cli("run", config(CONFIG.replace('"signs_resnet8"', row)), "--plan")
    assert (answer.code, answer.err) == (0, "")
    assert "forwards" in answer.out
