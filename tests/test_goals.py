"""Targets, top-k, rounding to 8 bits and conditional accuracy in whole runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superdef_bench.results import Results, load_results
from superdef_bench.statistics import unpack_bits
from tests.conftest import CONFIG, Answer, records

Run = Callable[..., Answer]
Write = Callable[..., Path]

THREE = """
from torch import nn
from superdef_bench import hookimpl, load_dataset

class First:
    name, split, num_classes, sha256 = "first", "test", 3, "0" * 64
    class_names = ["a", "b", "c"]
    ids = [str(n) for n in range(6)]

    def load(self, indices):
        x, y = load_dataset("signs").load(indices)
        return x, y % 3

def three():
    return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 3))

@hookimpl
def register_datasets():
    return {"first": First}

@hookimpl
def register_models():
    return {"three": three}
"""


def bits(results: Results, **wanted: Any) -> Any:
    row = results.row(**wanted)
    assert row is not None
    return unpack_bits(row["verdicts"], row["n"])


def run(run_cli: Run, path: Path, *words: str, out: str = "out") -> Results:
    answer = run_cli("run", path, "-o", out, *words)
    assert answer.code == 0, answer.err
    return load_results(Path(out))


def test_a_targeted_run_counts_targets_reached_and_what_was_wrong(
    run_cli: Run, config: Write
) -> None:
    text = CONFIG.replace("[attacks]", '[threat]\neps = ["8/255"]\ntarget = "next"\n\n[attacks]')
    text = text.replace("fgsm = {}", "pgd = { steps = 5 }")
    results = run(run_cli, config(text))
    rows = records(Path("out"))
    clean = {(r["defense"], r["image_id"]): r["success"] for r in rows if not r["rung"]}
    for row in rows:
        assert row["target"] == (row["label"] + 1) % results.document["dataset"]["classes"]
        if row["rung"]:
            reached = row["prediction"] == row["target"]
            assert row["success"] == (reached or clean[row["defense"], row["image_id"]])
    assert any(row["success"] for row in rows if row["rung"])
    untargeted = run(run_cli, config(text.replace('target = "next"', "")), out="plain")
    worst = {"defense": "none", "attack": "worst", "rung": "adaptive"}
    assert bits(untargeted, **worst).sum() <= bits(results, **worst).sum()
    assert results.row(**worst)["target"] == "next"  # type: ignore[index]  # it is there
    assert "; target: next" in Path("out/tiny.md").read_text()


@pytest.mark.parametrize("target", ["random", "least_likely"])
def test_no_target_is_the_label(run_cli: Run, config: Write, target: str) -> None:
    text = CONFIG.replace("[attacks]", f'[threat]\ntarget = "{target}"\n\n[attacks]')
    run(run_cli, config(text), "--rung", "gray_box", "-d", "none")
    rows = {row["image_id"]: row for row in records(Path("out")) if row["rung"]}
    assert all(row["target"] != row["label"] for row in rows.values())
    assert len({row["target"] for row in rows.values()}) > 2


def test_top_five_is_no_lower_than_top_one(run_cli: Run, config: Write) -> None:
    text = CONFIG.replace("[attacks]", "[threat]\ntopk = 5\n\n[attacks]")
    five, one = run(run_cli, config(text), out="five"), run(run_cli, config(), out="one")
    for row in one.rows(attack="none"):
        assert (
            bits(five, attack="none", defense=row["defense"])
            >= bits(one, attack="none", defense=row["defense"])
        ).all()
    for row in records(Path("five")):
        assert row["topk"] == 5
        assert row["success"] == (row["label_rank"] >= 5)
    assert five.document["accuracy"][0]["settings"] != one.document["accuracy"][0]["settings"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[attacks]", '[threat]\ntarget = "nxt"\n[attacks]'), "did you mean 'next'"),
        (("[attacks]", "[threat]\ntopk = 99\n[attacks]"), "the dataset has"),
        (
            ("[attacks]\nfgsm", '[threat]\ntarget = "next"\n[attacks]\ndeepfool'),
            "'deepfool' has no form for [threat] target = 'next'",
        ),
        (("[attacks]\nfgsm", "[threat]\ntopk = 5\n[attacks]\nautoattack"), "topk = 5"),
        (("limit = 8", 'limit = 8\npresets = ["mustafa"]'), "did you mean 'mustafa_attacks'"),
        (("limit = 8", "limit = 8\neightbit = 1"), "take true or false"),
    ],
)
def test_a_goal_that_cannot_be_had_is_one_line(
    run_cli: Run, config: Write, change: tuple[str, str], message: str
) -> None:
    assert change[0] in CONFIG
    answer = run_cli("run", config(CONFIG.replace(*change)))
    assert answer.code == 2
    assert message in answer.err
    assert len(answer.err.splitlines()) == 2


def test_dlr_asks_for_four_classes(
    run_cli: Run, config: Write, plugin_folder: Callable[[str], Path]
) -> None:
    text = CONFIG.replace("signs_resnet8", "three").replace('"signs"', '"first"')
    path = config(text.replace("fgsm = {}", 'pgd = { loss = "dlr" }'))
    answer = run_cli("run", path, "--plugins-dir", plugin_folder(THREE))
    assert answer.code == 2
    assert "attack 'pgd' needs 4 classes or more, the dataset has 3" in answer.err


def test_rounding_measures_again_and_forgives_what_leaves_the_ball(
    run_cli: Run, config: Write
) -> None:
    # 0.0035 is 0.9/255: once rounded, a step is a whole level, outside, or none.
    text = CONFIG.replace("[attacks]", '[threat]\neps = "0.0035"\n\n[attacks]')
    run(run_cli, config(text), out="plain")
    results = run(run_cli, config(text), "--eightbit", out="rounded")
    plain = [row for row in records(Path("plain")) if row["rung"]]
    rounded = [row for row in records(Path("rounded")) if row["rung"]]
    assert max(row["linf"] for row in plain) < 0.901 / 255
    assert {row["linf"] > 0.91 / 255 for row in rounded} == {True}
    assert not any(row["success"] for row in rounded)
    assert any(row["success"] for row in plain)
    assert results.document["threat"]["eightbit"] is True
    assert "rounding to 8 bits" in Path("rounded/tiny.md").read_text()


def test_conditional_accuracy_is_that_of_the_images_the_bare_classifier_gets_right(
    run_cli: Run, config: Write
) -> None:
    results = run(run_cli, config(CONFIG.replace("limit = 8", "limit = 64")), "--rung", "gray_box")
    bare = bits(results, defense="none", rung="")
    assert 0 < bare.sum() < 64
    for row in results.accuracy:
        right = unpack_bits(row["verdicts"], row["n"])
        assert row["conditional_n"] == bare.sum()
        assert row["conditional_accuracy"] == pytest.approx(np.mean(right[bare]), abs=1e-6)
    assert results.row(defense="none", rung="")["conditional_accuracy"] == 1  # type: ignore[index]  # it is there


def test_presets_are_attack_lists_by_name(run_cli: Run, config: Write) -> None:
    answer = run_cli("run", config(), "-a", "mustafa_attacks", "--plan")
    assert answer.code == 0, answer.err
    for name in (
        "fgsm_2",
        "fgsm_10",
        "i_fgsm",
        "mi_fgsm",
        "di2_fgsm",
        "mdi2_fgsm",
        "deepfool",
        "cw",
    ):
        assert f" {name} " in answer.out
    text = CONFIG.replace("limit = 8", 'limit = 8\npresets = ["deep_protection_attacks"]')
    answer = run_cli("run", config(text.replace("fgsm = {}", "blur = { severity = 5 }")), "--plan")
    assert answer.code == 0, answer.err
    for name in ("gradient_sign", "salt_and_pepper", "spatial_for_adef", "newtonfool", "blur"):
        assert f" {name} " in answer.out
