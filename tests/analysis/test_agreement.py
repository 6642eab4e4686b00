"""How alike two defenses of a run are, through the real command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from superdef_bench import load_dataset, load_defense
from superdef_bench.nn.quality import psnr
from tests.support.commands import CONFIG, Answer, records

pytestmark = pytest.mark.ci

Run = Callable[..., Answer]
Write = Callable[..., Path]
TEXT = CONFIG.replace("bicubic_x2 = {}", "bicubic_x2 = {}\nnearest_x2 = {}\njpeg = {}").replace(
    'rungs = ["gray_box", "white_box", "bpda"]', 'rungs = ["gray_box"]'
)


@pytest.fixture
def folder(run_cli: Run, config: Write) -> Path:
    assert run_cli("run", config(TEXT)).code == 0
    return Path("runs/tiny")


def test_labels_are_those_of_the_records_and_images_are_compared(
    run_cli: Run, folder: Path
) -> None:
    answer = run_cli("agreement", folder, "bicubic_x2", "nearest_x2", "--limit", "3", "--json")
    assert answer.code == 0, answer.err
    found = {row["what"]: row for row in json.loads(answer.out)}
    assert set(found) == {"clean", "gray box, fgsm, 2/255", "gray box, fgsm, 8/255"}
    said: dict[str, dict[str, int]] = {}
    for row in records(folder):
        if row["eps"] == 8 / 255:
            said.setdefault(row["defense"], {})[row["image_id"]] = row["prediction"]
    one, other = said["bicubic_x2 (native)"], said["nearest_x2 (native)"]
    same = sum(one[name] == other[name] for name in one) / len(one)
    assert found["gray box, fgsm, 8/255"]["agreement"] == same
    x, _ = load_dataset("signs", split="test").load(range(3))
    first, second = (load_defense(name) for name in ("bicubic_x2", "nearest_x2"))
    expected: Any = psnr(first.transform(x), second.transform(x)).mean()  # type: ignore[attr-defined]  # input transforms
    assert found["clean"]["psnr"] == pytest.approx(float(expected), abs=1e-3)
    assert (found["clean"]["n"], found["clean"]["compared"], found["clean"]["identical"]) == (
        8,
        3,
        0,
    )
    assert found["gray box, fgsm, 8/255"]["psnr"] is None


def test_a_defense_agrees_with_itself(run_cli: Run, folder: Path) -> None:
    rows = json.loads(run_cli("agreement", folder, "jpeg", "jpeg", "--json").out)
    assert [row["agreement"] for row in rows] == [1.0] * 3
    assert (rows[0]["compared"], rows[0]["identical"], rows[0]["psnr"]) == (8, 8, None)
    table = run_cli("agreement", folder, "jpeg", "jpeg").out
    assert all(len(line) <= 80 for line in table.splitlines())


PARTLY = """
from superdef_bench import InputTransform, hookimpl

class Partly(InputTransform):
    def transform(self, x):
        bright = (x.mean(dim=(1, 2, 3), keepdim=True) > 0.5).float()
        return (x + 0.1 * bright).clamp(0, 1)

@hookimpl
def register_defenses():
    return {"partly": Partly}
"""


def test_identical_images_do_not_hide_the_others(
    run_cli: Run, config: Write, plugin_folder: Callable[[str], Path]
) -> None:
    plugins = plugin_folder(PARTLY)
    text = TEXT.replace("jpeg = {}", "partly = {}")
    assert run_cli("run", config(text), "--plugins-dir", plugins, "-o", "out").code == 0
    words = ("agreement", "out", "partly", "none", "--plugins-dir", plugins, "--json")
    clean = json.loads(run_cli(*words).out)[0]
    x, _ = load_dataset("signs", split="test").load(range(8))
    bright = x.mean(dim=(1, 2, 3)) > 0.5
    assert 0 < int(bright.sum()) < 8
    assert clean["identical"] == 8 - int(bright.sum())
    expected = psnr((x[bright] + 0.1).clamp(0, 1), x[bright]).mean()
    assert clean["psnr"] == pytest.approx(float(expected), abs=1e-3)


def test_what_cannot_be_compared_is_one_line(run_cli: Run, folder: Path) -> None:
    sizes = json.loads(run_cli("agreement", folder, "jpeg", "bicubic_x2", "--json").out)
    assert (sizes[0]["n"], sizes[0]["compared"], sizes[0]["psnr"]) == (8, 0, None)
    wrong = run_cli("agreement", folder / "results.json", "jpeg", "none")
    assert wrong.code == 2
    assert "is a results file" in wrong.err
    assert "has no row 'jepg'" in run_cli("agreement", folder, "jepg", "none").err
    for file in (folder / "records").glob("*.parquet"):
        file.unlink()
    lost = run_cli("agreement", folder, "jpeg", "none", "--limit", "0")
    assert lost.code == 2
    assert "the run lacks records of clean jpeg" in lost.err
