"""Whole runs through the real command line, on real images."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from superdef_bench.io.seal import seal
from superdef_bench.results.load import load_results
from superdef_bench.results.ranking import rank
from tests.support.commands import CONFIG, Answer, records

Run = Callable[..., Answer]
Write = Callable[..., Path]


def test_a_run_writes_results_records_and_a_leaderboard(run_cli: Run, config: Write) -> None:
    answer = run_cli("run", config())
    assert (answer.code, answer.err) == (0, "")
    assert "tiny, linf 8/255, quick: not a robustness claim" in answer.out
    assert max(len(line) for line in answer.out.splitlines()) <= 80
    folder = Path("runs/tiny")
    names = {path.name for path in folder.iterdir()}
    expected = {"tiny.md", "tiny.csv", "tiny.svg", "tiny.json", "results.json", "manifest.json"}
    assert expected <= names
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest == seal(manifest)  # it carries its hash
    results = load_results(folder)
    assert results.document["provenance"]["command"] == "superdef-bench run tiny.toml"
    found = {(r.defense, r.rung, r.attack, r.eps) for r in results.accuracy}
    assert ("bicubic_x2 (native)", "white_box", "fgsm", 8 / 255) in found
    assert len(found) == len(results.accuracy)
    for row in records(folder):
        assert row["image_id"].startswith("signs/test/")
        assert row["seconds"] >= 0
        assert 0 <= row["linf"] <= 8 / 255 + 1e-6


def test_running_again_reuses_everything_and_changes_nothing(run_cli: Run, config: Write) -> None:
    path = config()
    run_cli("run", path)
    before = {name: Path(f"runs/tiny/tiny.{name}").read_bytes() for name in ("md", "csv", "svg")}
    again = run_cli("run", path)
    assert "80 records, 80 of them reused" in again.out
    for name, content in before.items():
        assert Path(f"runs/tiny/tiny.{name}").read_bytes() == content


def test_what_a_run_publishes_is_what_its_results_give(run_cli: Run, config: Write) -> None:
    text = CONFIG.replace("fgsm = {}", "pgd = { steps = 2 }\nfgsm = {}")
    run_cli("run", config(text.replace("bicubic_x2", "wavelet = {}\njpeg")))
    assert run_cli("leaderboard", "runs/tiny", "--check").code == 0
    assert "| defense | pgd 2/255 | pgd 8/255 | fgsm 2/255" in Path("runs/tiny/tiny.md").read_text()


def test_another_config_reuses_the_cells_that_match(run_cli: Run, config: Write) -> None:
    run_cli("run", config(), "-o", "out")
    more = config(CONFIG.replace("fgsm = {}", "fgsm = {}\nmi_fgsm = { steps = 2 }"), "more")
    answer = run_cli("run", more, "-o", "out", "--limit", "6")
    assert "108 records, 60 of them reused" in answer.out
    other_seed = run_cli("run", more, "-o", "out", "--limit", "6", "--seed", "1")
    assert "reused" not in other_seed.out


def test_options_select_and_add(run_cli: Run, config: Write) -> None:
    answer = run_cli(
        *("run", config(), "-d", "jpeg", "-a", "mi_fgsm", "--rung", "bpda", "--limit", "4"),
        *("-o", "here"),
    )
    assert answer.code == 0
    results = load_results(Path("here"))
    assert {row.defense for row in results.accuracy} == {"none", "jpeg"}
    assert {row.attack for row in results.accuracy} == {"none", "mi_fgsm", "worst"}
    assert {row.n for row in results.accuracy} == {4}
    assert not list(results.rows(defense="jpeg", rung="gray_box"))


def test_the_plan_is_printed_and_nothing_runs(run_cli: Run, config: Write) -> None:
    text = CONFIG.replace("bicubic_x2 = {}", "jpeg = {}\nmedian = {}")
    answer = run_cli("run", config(text), "--plan")
    assert (answer.code, answer.err) == (0, "")
    assert not Path("runs").exists()
    assert "white_box does not apply to jpeg: no exact gradient" in answer.out
    # clean 3, gray box 3 x 2 eps, white box 1 x 2, BPDA 2 x 2; 8 images each
    assert "120 records" in answer.out
    line = next(text for text in answer.out.splitlines() if "bpda" in text)
    assert line.replace("│", " ").split()[:4] == ["bpda", "fgsm", "64", "32"]
    said = " ".join(answer.out.split())
    assert "8 images, 2 defenses and the undefended classifier" in said
    assert "none, the undefended classifier, is attacked in gray_box: it has no defense" in said
    assert "its records stand for white_box, bpda, too" in said
    assert re.search(r"about \d+ s, \d+ s at most on cpu", said)
    assert max(len(text) for text in answer.out.splitlines()) <= 80


@pytest.mark.slow
def test_batch_size_changes_no_verdict(run_cli: Run, config: Write) -> None:
    text = CONFIG.replace("fgsm = {}", "pgd = { steps = 4 }").replace(
        "bicubic_x2 = {}", "random_resize_pad = {}\nwavelet = {}"
    )
    text = text.replace("masking = 0", "masking = 0\neot = 2")
    for size in (1, 7, 64):
        run_cli("run", config(text), "--batch-size", size, "--limit", 24, "-o", f"size_{size}")
    rows = {
        size: sorted(
            (r["defense"], r["rung"], r["eps"] or 0, r["image_id"], r["success"])
            for r in records(Path(f"size_{size}"))
        )
        for size in (1, 7, 64)
    }
    for size in (1, 7):
        same = [a == b for a, b in zip(rows[size], rows[64], strict=True)]
        assert np.mean(same) >= 0.995


def test_stochastic_rows_are_ranked_once_a_gradient_rung_met_them(
    run_cli: Run, config: Write
) -> None:
    path = config(CONFIG.replace("masking = 0", "masking = 0\neot = 2"))
    for rungs, ranked in ((("--rung", "gray_box"), False), ((), True)):
        answer = run_cli("run", path, "-d", "random_resize_pad", *rungs)
        assert answer.code == 0, answer.err
        results = load_results(Path("runs/tiny"))
        (row,) = [s for s in rank(results) if s.defense == "random_resize_pad (native)"]
        assert (row.rank is not None, not row.reasons) == (ranked, ranked)
        text = Path("runs/tiny/tiny.md").read_text()
        assert ("| – | random_resize_pad (native) |" in text) == (not ranked)


@pytest.mark.slow
def test_native_on_a_classifier_that_refuses_it_is_a_config_error(
    run_cli: Run, config: Write, tmp_path: Path
) -> None:
    from PIL import Image

    for number in range(10):
        (tmp_path / "data" / f"class_{number}").mkdir(parents=True)
        Image.new("RGB", (32, 32), (number, 0, 0)).save(tmp_path / f"data/class_{number}/0.png")
    text = CONFIG.replace('"signs"', '{ plugin = "imagefolder", path = "data" }').replace(
        "signs_resnet8", "autoattack_example"
    )
    answer = run_cli("run", config(text))
    assert answer.code == 2
    assert "defense 'bicubic_x2' gives 64x64 images, which the classifier refuses" in answer.err
    assert 'hint: set output = "resize_back"' in answer.err
    back = text.replace("bicubic_x2 = {}", 'bicubic_x2 = { output = "resize_back" }')
    assert run_cli("run", config(back), "--limit", 2).code == 0
    rows = load_results(Path("runs/tiny")).accuracy
    assert "bicubic_x2 (resize_back)" in {row.defense for row in rows}


def test_data_that_breaks_in_mid_run_stops_it_and_keeps_what_is_done(
    run_cli: Run, config: Write, tmp_path: Path
) -> None:
    from PIL import Image

    for number in range(2):
        folder = tmp_path / "data" / f"class_{number}"
        folder.mkdir(parents=True)
        for place in range(40):
            Image.new("RGB", (32, 32), (number, place, 0)).save(folder / f"{place}.png")
    source = CONFIG.replace('"signs"', '{ plugin = "imagefolder", path = "data" }')
    model = """
from torch import nn
from superdef_bench import hookimpl
@hookimpl
def register_models():
    return {"two": lambda: nn.Sequential(nn.Flatten(), nn.Linear(3072, 2))}
"""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "two.py").write_text(model)
    text = source.replace("signs_resnet8", "two").replace("bicubic_x2", "median")
    last = load_order(tmp_path / "data")[-1]
    (tmp_path / "data" / last).write_bytes(b"\\x89PNG broken")
    answer = run_cli("run", config(text), "--limit", 80, "--plugins-dir", "models")
    assert answer.code == 2
    assert f"{last} cannot be read" in answer.err
    assert len(records(Path("runs/tiny"))) > 0


def load_order(folder: Path) -> list[str]:
    from superdef_bench import load_dataset

    return list(load_dataset("imagefolder", path=str(folder)).ids)


def test_examples_kept_with_one_batch_size_are_found_with_another(
    run_cli: Run, config: Write
) -> None:
    path = config()
    run_cli("run", path, "--batch-size", 8, "-o", "out")
    kept = sorted(Path("out/bank").rglob("*.safetensors"))
    assert kept
    more = config(CONFIG.replace("bicubic_x2", "jpeg = {}\nbicubic_x2"), "more")
    run_cli("run", more, "--batch-size", 4, "-o", "out")
    assert sorted(Path("out/bank").rglob("*.safetensors")) == kept
