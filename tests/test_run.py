"""Whole runs through the real command line, on real images."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from superdef_bench.ranking import verdicts
from superdef_bench.results import Results, load_results
from tests.conftest import CONFIG, Answer

Run = Callable[..., Answer]
Write = Callable[..., Path]

IDENTITY = """
from superdef_bench import InputTransform, hookimpl

class Same(InputTransform):
    def transform(self, x):
        return x

@hookimpl
def register_defenses():
    return {"same": Same, "also_same": Same}
"""


def records(folder: Path) -> list[dict[str, Any]]:
    files = sorted((folder / "records").glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def accuracy(results: Results, **wanted: Any) -> float:
    row = results.row(**wanted)
    assert row is not None, wanted
    return float(row["accuracy"])


def test_a_run_writes_results_records_and_a_leaderboard(run_cli: Run, config: Write) -> None:
    answer = run_cli("run", config())
    assert (answer.code, answer.err) == (0, "")
    assert "tiny, linf 8/255, quick: not a robustness claim" in answer.out
    assert max(len(line) for line in answer.out.splitlines()) <= 80
    folder = Path("runs/tiny")
    names = {path.name for path in folder.iterdir()}
    expected = {"tiny.md", "tiny.csv", "tiny.svg", "tiny.json", "results.json", "manifest.json"}
    assert expected <= names
    results = load_results(folder)
    assert results.document["provenance"]["command"] == "superdef-bench run tiny.toml"
    found = {(r["defense"], r["rung"], r["attack"], r["eps"]) for r in results.accuracy}
    assert ("bicubic_x2 (native)", "white_box", "fgsm", 8 / 255) in found
    assert len(found) == len(results.accuracy)
    for row in records(folder):
        assert row["image_id"].startswith("signs/test/")
        assert row["seconds"] >= 0
        assert 0 <= row["linf"] <= 8 / 255 + 1e-6


def test_the_undefended_classifier_has_no_gaps(run_cli: Run, config: Write) -> None:
    run_cli("run", config())
    results = load_results(Path("runs/tiny"))
    for eps in (2 / 255, 8 / 255):
        of_none = {"defense": "none", "attack": "fgsm", "eps": eps}
        gray = results.row(rung="gray_box", **of_none)
        assert gray is not None
        for rung in ("white_box", "bpda"):
            other = results.row(rung=rung, **of_none)
            assert other is not None
            assert other["verdicts"] == gray["verdicts"]
        worst = [
            accuracy(results, defense="none", attack="worst", eps=eps, rung=rung)
            for rung in ("gray_box", "adaptive")
        ]
        assert worst[0] == worst[1]


def test_bpda_on_a_chain_of_identities_is_white_box_bit_for_bit(
    run_cli: Run, config: Write, plugin_folder: Callable[..., Path]
) -> None:
    text = CONFIG.replace("fgsm = {}", "pgd = { steps = 5 }").replace(
        "bicubic_x2 = {}", 'twice = { chain = ["same", "also_same"] }'
    )
    run_cli("run", config(text), "--plugins-dir", plugin_folder(IDENTITY))
    rows = [row for row in records(Path("runs/tiny")) if row["defense"] == "twice"]
    exact, straight = (
        [
            {k: row[k] for k in ("image_id", "eps", "prediction", "linf", "l2", "first_step")}
            for row in sorted(rows, key=lambda row: (row["eps"] or 0, row["position"]))
            if row["rung"] == rung
        ]
        for rung in ("white_box", "bpda")
    )
    assert len(exact) == 16
    assert exact == straight
    results = load_results(Path("runs/tiny"))
    for attack in ("pgd", "worst"):
        for rung in ("gray_box", "adaptive"):
            none, twice = (
                results.row(defense=name, attack=attack, rung=rung, eps=8 / 255)
                for name in ("none", "twice")
            )
            if none and twice and rung == "gray_box":
                assert none["verdicts"] == twice["verdicts"]


def test_running_again_reuses_everything_and_changes_nothing(run_cli: Run, config: Write) -> None:
    path = config()
    run_cli("run", path)
    before = {name: Path(f"runs/tiny/tiny.{name}").read_bytes() for name in ("md", "csv", "svg")}
    again = run_cli("run", path)
    assert "80 records, 80 of them reused" in again.out
    for name, content in before.items():
        assert Path(f"runs/tiny/tiny.{name}").read_bytes() == content


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
    assert {row["defense"] for row in results.accuracy} == {"none", "jpeg"}
    assert {row["attack"] for row in results.accuracy} == {"none", "mi_fgsm", "worst"}
    assert {row["n"] for row in results.accuracy} == {4}
    assert not list(results.rows(defense="jpeg", rung="gray_box"))


def test_the_plan_is_printed_and_nothing_runs(run_cli: Run, config: Write) -> None:
    text = CONFIG.replace("bicubic_x2 = {}", "jpeg = {}\nmedian = {}")
    answer = run_cli("run", config(text), "--plan")
    assert (answer.code, answer.err) == (0, "")
    assert not Path("runs").exists()
    assert "white_box does not apply (no exact gradient): jpeg" in answer.out
    # clean 3, gray box 3 x 2 eps, white box 1 x 2, BPDA 2 x 2; 8 images each
    assert "120 records" in answer.out
    line = next(text for text in answer.out.splitlines() if "bpda" in text)
    assert list(line.replace("│", " ").split())[:5] == [
        "bpda",
        "fgsm",
        "4",
        "32",
        "64",
    ]
    assert max(len(text) for text in answer.out.splitlines()) <= 80


COUNTING = """
from pathlib import Path
import torch
from superdef_bench import hookimpl

class Counting:
    norms = frozenset({"linf"})
    kind = "budget"
    access = "gradient"
    batch_dependent = False

    def __call__(self, model, x, y, threat, context):
        with Path("calls.txt").open("a") as file:
            file.write(f"{context.goal} {len(x)} {threat.eps * 255:.0f} {len(model.stages)}\\n")
        return x.clone()

@hookimpl
def register_attacks():
    return {"counting": Counting}
"""


def test_gray_box_examples_are_made_once_and_replayed(
    run_cli: Run, config: Write, plugin_folder: Callable[..., Path]
) -> None:
    text = CONFIG.replace("fgsm = {}", "counting = {}").replace(
        "bicubic_x2 = {}", "jpeg = {}\nmedian = {}"
    )
    folder = plugin_folder(COUNTING)
    run_cli("run", config(text), "--plugins-dir", folder, "--rung", "gray_box", "--batch-size", 64)
    assert Path("calls.txt").read_text() == "strength 8 2 0\nstrength 8 8 0\n"
    run_cli("run", config(text), "--plugins-dir", folder, "--rung", "bpda", "--batch-size", 64)
    calls = Path("calls.txt").read_text().splitlines()[2:]
    results = load_results(Path("runs/tiny"))
    rights = [results.row(defense=d, rung="", attack="none") for d in ("jpeg", "median")]
    # What is wrong when clean is not attacked in verdict.
    expected = [f"verdict {r['correct']} {eps} 1" for r in rights if r for eps in (2, 8)]
    assert sorted(calls) == sorted(expected)


def test_verdict_attacks_only_what_still_stands(
    run_cli: Run, config: Write, plugin_folder: Callable[..., Path]
) -> None:
    run_cli("run", config(CONFIG.replace("fgsm = {}", "pgd = { steps = 5 }")), "--limit", "32")
    rows = records(Path("runs/tiny"))
    chosen = [r for r in rows if r["rung"] == "white_box"]
    small = {r["image_id"]: r for r in chosen if r["eps"] == 2 / 255}
    large = {r["image_id"]: r for r in chosen if r["eps"] == 8 / 255}
    broken = [name for name, row in small.items() if row["success"]]
    assert 0 < len(broken) < 32
    for name in broken:
        assert large[name]["success"]
        assert large[name]["linf"] == small[name]["linf"]
        assert large[name]["forwards"] == 0
    strength = [r for r in rows if r["rung"] == "gray_box" and r["defense"] == "none"]
    assert {r["forwards"] for r in strength} == {6.0}


def test_batch_size_changes_no_verdict(run_cli: Run, config: Write) -> None:
    text = CONFIG.replace("fgsm = {}", "pgd = { steps = 4 }").replace(
        "bicubic_x2 = {}", "random_resize_pad = {}\nwavelet = {}"
    )
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


def test_minimal_attacks_are_read_at_every_eps(run_cli: Run, config: Write) -> None:
    run_cli("run", config(CONFIG.replace("fgsm = {}", "deepfool = {}")), "--limit", "16")
    results = load_results(Path("runs/tiny"))
    rows = [r for r in records(Path("runs/tiny")) if r["defense"] == "bicubic_x2 (native)"]
    known = [r for r in rows if r["rung"] == "white_box"]
    assert {r["eps"] for r in known} == {None}
    for eps in (2 / 255, 8 / 255):
        within = [r["success"] and r["linf"] <= eps * (1 + 1e-5) + 1e-6 for r in known]
        found = accuracy(
            results, defense="bicubic_x2 (native)", rung="white_box", attack="deepfool", eps=eps
        )
        assert found == pytest.approx(1 - np.mean(within), abs=1e-6)
    # Replayed without a ball it stands in a column of its own, outside the worst case.
    replay = {"rung": "gray_box", "attack": "deepfool", "eps": None}
    assert accuracy(results, defense="none", **replay) == 0
    assert accuracy(results, defense="bicubic_x2 (native)", **replay) > 0.5
    assert results.row(rung="gray_box", attack="worst", defense="none", eps=8 / 255) is None


def test_an_attack_on_few_images_has_a_column_and_no_part_in_the_worst_case(
    run_cli: Run, config: Write
) -> None:
    both = CONFIG.replace("fgsm = {}", "fgsm = {}\npgd = { limit = 4, steps = 10 }")
    run_cli("run", config(both))
    results = load_results(Path("runs/tiny"))
    assert not results.document["attacks"]["pgd"]["counted"]
    row = results.row(defense="none", attack="pgd", rung="gray_box", eps=8 / 255)
    assert row is not None
    assert row["n"] == 4
    for rung in ("gray_box", "adaptive"):
        for name in ("none", "bicubic_x2 (native)"):
            worst = results.row(defense=name, attack="worst", rung=rung, eps=8 / 255)
            assert worst is not None
            assert worst["n"] == 8
    assert "n = 4" in Path("runs/tiny/tiny.md").read_text()


def test_stochastic_rows_stand_unranked(run_cli: Run, config: Write) -> None:
    answer = run_cli("run", config(), "-d", "random_resize_pad")
    assert answer.code == 0
    text = Path("runs/tiny/tiny.md").read_text()
    assert "random_resize_pad (native) is not ranked: stochastic" in text
    assert "| – | random_resize_pad (native) |" in text


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
    assert "bicubic_x2 (resize_back)" in {row["defense"] for row in rows}


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


def test_worst_cases_are_per_image_over_rungs_and_attacks(run_cli: Run, config: Write) -> None:
    text = CONFIG.replace("fgsm = {}", "fgsm = {}\npgd = { steps = 3 }")
    run_cli("run", config(text), "--limit", "24")
    results = load_results(Path("runs/tiny"))
    name = "bicubic_x2 (native)"
    parts = [
        verdicts(row)
        for row in results.rows(defense=name, eps=8 / 255)
        if row["attack"] in ("fgsm", "pgd")
    ]
    assert len(parts) == 6
    worst = results.row(defense=name, rung="adaptive", attack="worst", eps=8 / 255)
    assert worst is not None
    assert np.array_equal(verdicts(worst), np.logical_and.reduce(parts))
    assert json.dumps(results.document, allow_nan=False)
