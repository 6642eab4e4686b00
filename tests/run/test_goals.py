"""Targets, top-k, rounding to 8 bits and conditional accuracy in whole runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from superdef_bench.benchmark.config import load_config
from superdef_bench.core.threats import Norm
from superdef_bench.core.types import distance
from superdef_bench.results.load import load_results
from superdef_bench.results.schema import Results
from superdef_bench.results.statistics import unpack_bits
from superdef_bench.run.images import eight_bits
from tests.support.commands import CONFIG, Answer, records

pytestmark = pytest.mark.ci

Run = Callable[..., Answer]
Write = Callable[..., Path]

L2 = '[threat]\nnorm = "l2"\neps = "0.5"\n\n'

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
    return unpack_bits(row.verdicts, row.n)


def run(run_cli: Run, path: Path, *words: str, out: str = "out") -> Results:
    answer = run_cli("run", path, "-o", out, *words)
    assert answer.code == 0, answer.err
    return load_results(Path(out))


def test_a_targeted_run_counts_targets_reached_and_what_was_wrong(
    run_cli: Run, config: Write
) -> None:
    text = CONFIG.replace("[attacks]", '[threat]\neps = ["8/255"]\ntarget = "next"\n\n[attacks]')
    text = text.replace("fgsm = {}", "pgd = { steps = 5 }")
    # So bad a copy of the image leaves some wrong from the start.
    text = text.replace("bicubic_x2 = {}", "jpeg = { quality = 3 }")
    results = run(run_cli, config(text))
    rows = records(Path("out"))
    clean = {(r["defense"], r["image_id"]): r["success"] for r in rows if not r["rung"]}
    for row in rows:
        if row["rung"]:
            assert row["target"] == (row["label"] + 1) % results.document["dataset"]["classes"]
            reached = row["prediction"] == row["target"]
            assert row["success"] == (reached or clean[row["defense"], row["image_id"]])
    assert any(row["success"] for row in rows if row["rung"])
    assert any(clean.values())
    untargeted = run(run_cli, config(text.replace('target = "next"', "")), out="plain")
    worst = {"defense": "none", "attack": "worst", "rung": "adaptive"}
    assert bits(untargeted, **worst).sum() <= bits(results, **worst).sum()
    assert {row.target for row in results.rows(**worst)} == {"next"}
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
            bits(five, attack="none", defense=row.defense)
            >= bits(one, attack="none", defense=row.defense)
        ).all()
    for record in records(Path("five")):
        assert record["topk"] == 5
        assert record["success"] == (record["label_rank"] >= 5)
    assert five.document["accuracy"][0]["settings"] != one.document["accuracy"][0]["settings"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[attacks]", '[threat]\ntarget = "nxt"\n[attacks]'), "did you mean 'next'"),
        (("[attacks]", "[threat]\ntopk = 99\n[attacks]"), "the dataset has"),
        (
            ("[attacks]\nfgsm", '[threat]\ntarget = "next"\n[attacks]\ndeepfool'),
            "'deepfool' has no form for [threat] target = 'next'\n"
            "hint: take an attack that has one, such as pgd; or take target out of [threat]\n",
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


def test_an_author_is_told_to_say_that_his_attack_follows_the_target(
    run_cli: Run, config: Write, plugin_folder: Callable[[str], Path]
) -> None:
    source = """
from superdef_bench import hookimpl, load_attack

class Mine:
    norms, kind, access = frozenset({"linf"}), "budget", "gradient"
    def __call__(self, *given):
        return load_attack("pgd", steps=1)(*given)

@hookimpl
def register_attacks():
    return {"mine": Mine}
"""
    text = CONFIG.replace("[attacks]\nfgsm", '[threat]\ntarget = "next"\n[attacks]\nmine')
    answer = run_cli("run", config(text), "--plugins-dir", plugin_folder(source))
    assert answer.code == 2
    assert answer.err.splitlines()[1] == (
        "hint: add targeted = True to the attack if it follows context.target; "
        "or take target out of [threat]"
    )


def test_dlr_asks_for_four_classes(
    run_cli: Run, config: Write, plugin_folder: Callable[[str], Path]
) -> None:
    text = CONFIG.replace("signs_resnet8", "three").replace('"signs"', '"first"')
    path = config(text.replace("fgsm = {}", 'pgd = { loss = "dlr" }'))
    answer = run_cli("run", path, "--plugins-dir", plugin_folder(THREE))
    assert answer.code == 2
    assert "attack 'pgd' needs 4 classes or more, the dataset has 3" in answer.err


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_rounding_goes_towards_the_clean_image_and_never_out_of_the_ball(norm: Norm) -> None:
    numbers = torch.Generator().manual_seed(0)
    clean = torch.randint(0, 256, (6, 3, 8, 8), generator=numbers) / 255
    change = torch.randn(clean.shape, generator=numbers) * 0.02
    attacked = (clean + change).clamp(0, 1)
    rounded = eight_bits(attacked, clean)
    assert torch.equal((rounded * 255).round() / 255, rounded)
    assert bool((distance(clean, rounded, norm) <= distance(clean, attacked, norm) + 1e-6).all())
    assert float((rounded - attacked).abs().max()) < 1.01 / 255
    steps = torch.tensor([-8, -1, 0, 1, 8]).view(1, 1, 1, 5) / 255
    middle = torch.full((1, 1, 1, 5), 100 / 255)
    assert torch.allclose(eight_bits(middle + steps, middle) - middle, steps, atol=1e-7)


def test_rounding_never_makes_a_defense_better_than_clean(run_cli: Run, config: Write) -> None:
    text = CONFIG.replace("limit = 8", "limit = 64").replace("[attacks]", L2 + "[attacks]")
    text = text.replace("bicubic_x2 = {}", "jpeg = { quality = 10 }")
    path = config(text.replace("fgsm = {}", "pgd = { steps = 4 }"))
    results = run(run_cli, path, "--eightbit", "--rung", "gray_box", out="rounded")
    rows = [row for row in records(Path("rounded")) if row["rung"]]
    assert max(row["l2"] for row in rows) <= 0.5 + 1e-5
    for name in ("none", "jpeg"):
        clean = bits(results, defense=name, rung="")
        attacked = bits(results, defense=name, rung="gray_box", attack="pgd")
        assert attacked.sum() < clean.sum()
    assert results.document["threat"]["eightbit"] is True
    assert "rounding to 8 bits" in Path("rounded/tiny.md").read_text()


def test_an_example_outside_its_ball_leaves_the_clean_verdict(run_cli: Run, config: Write) -> None:
    # The classes are noise to this model, so many images are wrong from the start.
    text = CONFIG.replace("limit = 8", "limit = 32").replace("bicubic_x2 = {}", "")
    text = text.replace("[attacks]", '[threat]\neps = "0.0035"\n\n[attacks]')
    results = run(run_cli, config(text), "--eightbit", "--rung", "gray_box")
    rows = [row for row in records(Path("out")) if row["rung"]]
    # 0.0035 is 0.9/255: rounded towards the clean image nothing is left of it.
    assert all(row["linf"] < 1e-6 for row in rows)
    clean = bits(results, defense="none", rung="")
    assert (bits(results, defense="none", rung="gray_box", attack="fgsm") == clean).all()


def test_a_minimal_example_beyond_eps_leaves_the_clean_verdict(run_cli: Run, config: Write) -> None:
    text = CONFIG.replace("limit = 8", "limit = 64").replace("[attacks]", L2 + "[attacks]")
    text = text.replace("0.5", "0.02").replace("bicubic_x2 = {}", "jpeg = { quality = 5 }")
    path = config(text.replace("fgsm = {}", "ddn = { steps = 10 }"))
    results = run(run_cli, path, "--rung", "gray_box")
    rows = [row for row in records(Path("out")) if row["rung"]]
    for row in results.rows(attack="ddn", eps=0.02):
        clean = bits(results, defense=row.defense, rung="")
        right = unpack_bits(row.verdicts, row.n)
        far = [r["position"] for r in rows if r["defense"] == row.defense and r["l2"] > 0.021]
        assert len(far) > 20
        assert (right[far] == clean[far]).all()
        assert not clean[far].all() or row.defense == "none"


def test_each_goal_has_worst_rows_with_settings_of_their_own(run_cli: Run, config: Write) -> None:
    plain = run(run_cli, config(), "--rung", "gray_box", out="plain")
    rounded = run(run_cli, config(), "--rung", "gray_box", "--eightbit", out="rounded")
    seen = [results.worst("none", "gray_box") for results in (plain, rounded)]
    assert len({row.settings for row in seen if row}) == 2


def test_plain_noise_has_no_target_and_clean_rows_have_none(run_cli: Run, config: Write) -> None:
    text = CONFIG.replace("[attacks]", '[threat]\ntarget = "next"\n\n[attacks]')
    text = text.replace("fgsm = {}", "fgsm = {}\nadditive_gaussian = { severity = 5 }")
    results = run(run_cli, config(text), "--rung", "gray_box", "-d", "none")
    for row in records(Path("out")):
        aimed = row["attack"] == "fgsm"
        assert (row["target"] is not None) == aimed
        if row["attack"] == "additive_gaussian":
            assert row["success"] == (row["prediction"] != row["label"])
    assert {row.target for row in results.rows(attack="additive_gaussian")} == {"none"}


def test_a_row_of_the_config_replaces_that_of_a_preset(config: Write) -> None:
    text = CONFIG.replace("fgsm = {}", 'fgsm = {}\nfgsm_2 = { plugin = "fgsm", eps = "1/255" }')
    chosen = load_config(config(text)).select(attacks=["mustafa_attacks"])
    assert {attack.name: attack.eps for attack in chosen.attacks}["fgsm_2"] == ("1/255",)
    assert len(chosen.attacks) == 9


def test_conditional_accuracy_is_that_of_the_images_the_bare_classifier_gets_right(
    run_cli: Run, config: Write
) -> None:
    results = run(run_cli, config(CONFIG.replace("limit = 8", "limit = 64")), "--rung", "gray_box")
    bare = bits(results, defense="none", rung="")
    assert 0 < bare.sum() < 64
    for row in results.accuracy:
        right = unpack_bits(row.verdicts, row.n)
        assert row.conditional_n == bare.sum()
        assert row.conditional_accuracy == pytest.approx(np.mean(right[bare]), abs=1e-6)
    assert [row.conditional_accuracy for row in results.rows(defense="none", rung="")] == [1]


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
