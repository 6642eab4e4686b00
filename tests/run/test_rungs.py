"""Rungs in real runs: what is replayed, what is attacked again, and what a worst case is."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superdef_bench.results.load import load_results
from superdef_bench.results.ranking import rank
from superdef_bench.results.rows import verdicts
from superdef_bench.results.schema import Results
from tests.support.commands import CONFIG, Answer, records

pytestmark = pytest.mark.ci

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


def accuracy(results: Results, **wanted: Any) -> float:
    row = results.row(**wanted)
    assert row is not None, wanted
    return float(row.accuracy)


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
            assert other.verdicts == gray.verdicts
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
                assert none.verdicts == twice.verdicts


COUNTING = """
from pathlib import Path
from typing import Any
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
    # What is wrong when clean is not attacked in verdict; nothing is replayed, so that the bare
    # classifier is attacked for one, too.
    expected = [f"verdict {r.correct} {eps} 1" for r in rights if r for eps in (2, 8)]
    expected += ["verdict 8 2 0", "verdict 8 8 0"]
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
    assert row.n == 4
    for rung in ("gray_box", "adaptive"):
        for name in ("none", "bicubic_x2 (native)"):
            worst = results.row(defense=name, attack="worst", rung=rung, eps=8 / 255)
            assert worst is not None
            assert worst.n == 8
    assert "n = 4" in Path("runs/tiny/tiny.md").read_text()


def test_worst_cases_are_per_image_over_rungs_and_attacks(run_cli: Run, config: Write) -> None:
    text = CONFIG.replace("fgsm = {}", "fgsm = {}\npgd = { steps = 3 }")
    run_cli("run", config(text), "--limit", "24")
    results = load_results(Path("runs/tiny"))
    name = "bicubic_x2 (native)"
    parts = [
        verdicts(row)
        for row in results.rows(defense=name, eps=8 / 255)
        if row.attack in ("fgsm", "pgd")
    ]
    assert len(parts) == 6
    worst = results.row(defense=name, rung="adaptive", attack="worst", eps=8 / 255)
    assert worst is not None
    assert np.array_equal(verdicts(worst), np.logical_and.reduce(parts))
    assert json.dumps(results.document, allow_nan=False)


def test_a_rung_with_fewer_images_leaves_gray_box_whole(run_cli: Run, config: Write) -> None:
    text = CONFIG.replace("batch_size = 8", "batch_size = 8\nlimits = { white_box = 4, bpda = 6 }")
    path = config(text.replace("bicubic_x2 = {}", "bicubic_x2 = {}\nrandom_resize_pad = {}"))
    assert run_cli("run", path).code == 0
    results = load_results(Path("runs/tiny"))
    eps = 8 / 255
    for defense in ("none", "bicubic_x2 (native)"):
        counts = {
            rung: row.n
            for rung in ("gray_box", "white_box", "bpda")
            for row in results.rows(defense=defense, rung=rung, attack="fgsm", eps=eps)
        }
        assert counts == {"gray_box": 8, "white_box": 4, "bpda": 6}
    worst = {(row.defense, row.rung): row for row in results.rows(attack="worst", eps=eps)}
    assert worst["none", "gray_box"].n == worst["none", "adaptive"].n == 8
    assert worst["bicubic_x2 (native)", "gray_box"].n == 8
    adaptive = worst["bicubic_x2 (native)", "adaptive"]
    bits = [
        verdicts(row)[:4]
        for row in results.rows(defense="bicubic_x2 (native)", attack="fgsm", eps=eps)
    ]
    assert adaptive.n == 4
    np.testing.assert_array_equal(verdicts(adaptive), np.all(bits, axis=0))
    # Ranked or not, a row compares gray box and adaptive on the same images.
    for standing in rank(results):
        assert standing.gray is not None
        assert standing.adaptive is not None
        assert standing.gray.n == standing.adaptive.n == 4
    table = Path("runs/tiny/tiny.md").read_text()
    assert "| 8 / 4 |" in table
    assert "fgsm 8/255, n = 4" in table


def test_rungs_with_their_own_attacks_eps_and_images_agree_on_n(
    run_cli: Run, config: Write
) -> None:
    text = CONFIG.replace(
        "batch_size = 8", "batch_size = 8\nlimits = { white_box = 4, bpda = 6 }"
    ).replace(
        "fgsm = {}",
        'fgsm = { rungs = ["gray_box", "bpda"] }\n'
        'pgd = { steps = 2, eps = "8/255", rungs = ["white_box"] }',
    )
    answer = run_cli("run", config(text))
    assert answer.code == 0, answer.err
    results = load_results(Path("runs/tiny"))
    counts = {
        row.eps: row.n for row in results.rows(defense="bicubic_x2 (native)", rung="adaptive")
    }
    # No image that never met the last eps has a say in any adaptive row.
    assert counts == {2 / 255: 4, 8 / 255: 4}
