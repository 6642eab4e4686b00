"""Sources in real runs: what is made on them, which rows replay it, and what it counts for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superdef_bench.benchmark.config import load_config
from superdef_bench.core.threats import Rung
from superdef_bench.results.load import load_results
from superdef_bench.results.rows import verdicts
from superdef_bench.results.schema import AccuracyRow, Results
from tests.support.commands import CONFIG, Answer, records

pytestmark = pytest.mark.ci

Run = Callable[..., Answer]
Write = Callable[..., Path]

ALL = 'rungs = ["gray_box", "white_box", "bpda"]\n'
MANY = 'rungs = ["transfer", "gray_box", "surrogate", "white_box", "bpda"]\n'
FROM = '\n[transfer]\nsurrogates = ["model:twin", "model:soft", "defense:jpeg"]\n'
LADDER = CONFIG.replace(ALL, MANY).replace("bicubic_x2", "jpeg = {}\nbicubic_x2")
LADDER += FROM + '\n[models]\ntwin = "signs_resnet8"\n'
BICUBIC = "bicubic_x2 (native)"

PLUGINS = """
import torch
from torch import nn
from torch.nn import functional
from superdef_bench import hookimpl, load_model

class Soft(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = load_model("signs_resnet8")

    def forward(self, x):
        return self.network(functional.avg_pool2d(x, 3, stride=1, padding=1))

class Planted:
    # Greys a quarter of the images: others where soft is attacked, jpeg, or a known defense.
    norms = frozenset({"linf", "l2"})
    kind = "budget"
    access = "gradient"
    batch_dependent = False

    def __call__(self, model, x, y, threat, context):
        with open("calls.txt", "a") as file:
            where = f"{type(model.classifier).__name__} {len(model.stages)} {model.gradient}"
            file.write(f"{context.goal} {len(x)} {where}\\n")
        turn = 2 if context.goal == "verdict" else 1 if len(model.stages) else 0
        if turn == 0 and not hasattr(model.classifier, "network"):
            return x.clone()
        hit = (context.ids % 4 == turn)[:, None, None, None]
        return torch.where(hit, 0.5, x)

class Minimal(Planted):
    kind = "minimal"

@hookimpl
def register_models():
    return {"soft": Soft}

@hookimpl
def register_attacks():
    return {"planted": Planted, "planted_minimal": Minimal}
"""


@pytest.fixture
def ladder(run_cli: Run, config: Write, plugin_folder: Write) -> Callable[..., Answer]:
    """Return a function that runs a config with the plugins above."""
    folder = plugin_folder(PLUGINS)
    return lambda text, *words: run_cli("run", config(text), "--plugins-dir", folder, *words)


def found(**wanted: Any) -> AccuracyRow:
    row = load_results(Path("runs/tiny")).row(**wanted)
    assert row is not None, wanted
    return row


def why_not(results: Results, defense: str) -> dict[str, str]:
    entries = results.document["not_applicable"]
    return {entry["rung"]: entry["why"] for entry in entries if entry["defense"] == defense}


def test_rows_of_replay_rungs_carry_their_source(ladder: Callable[..., Answer]) -> None:
    answer = ladder(LADDER)
    assert answer.code == 0, answer.err
    results = load_results(Path("runs/tiny"))
    models = [("transfer", "twin"), ("transfer", "soft"), ("gray_box", "signs_resnet8")]
    lent = [("surrogate", "jpeg")]
    expected = {"none": models + lent, "jpeg": models, BICUBIC: models + lent}
    replayed = {"transfer", "gray_box", "surrogate"}
    for name, pairs in expected.items():
        rows = [r for r in results.rows(defense=name, attack="fgsm") if r.rung in replayed]
        sources = [(r.rung, r.source, r.eps) for r in rows]
        assert sorted(sources) == sorted((*p, eps) for p in pairs for eps in (2 / 255, 8 / 255))
        told = {
            (r["rung"], r["source"]) for r in records(Path("runs/tiny")) if r["defense"] == name
        }
        assert {pair for pair in told if pair[0] in replayed} == set(pairs)
    assert why_not(results, "jpeg")["surrogate"] == "its examples are made on this row itself"
    assert why_not(results, BICUBIC) == {}
    assert "surrogate does not apply to jpeg: its examples are made on this" in answer.out
    said = {(s["name"], s["rung"], s["gradient"]) for s in results.document["sources"]}
    assert said == {(*pair[::-1], "exact") for pair in models} | {("jpeg", "surrogate", "bpda")}
    # The same weights under another name: what is made there is what the gray box replays.
    for name in expected:
        of = {"defense": name, "attack": "fgsm", "eps": 8 / 255}
        gray, twin = found(rung="gray_box", **of), found(rung="transfer", source="twin", **of)
        assert (gray.psnr, gray.verdicts) == (twin.psnr, twin.verdicts)
        assert found(rung="transfer", source="soft", **of).psnr != twin.psnr


def test_examples_of_a_source_are_made_once_for_all_rows(ladder: Callable[..., Answer]) -> None:
    text = LADDER.replace("fgsm = {}", 'planted = { eps = "0.5" }').replace(
        '"defense:jpeg"', '"defense:jpeg", "defense:bit_depth", "defense:median"'
    )
    rungs = ("--rung", "transfer", "--rung", "surrogate")
    assert ladder(text, *rungs).code == 0
    calls = Path("calls.txt").read_text().splitlines()
    sources = ["ResNet 0 exact", "Soft 0 exact", "ResNet 1 bpda", "ResNet 1 bpda"]
    assert sorted(calls) == sorted(f"strength 8 {s}" for s in [*sources, "ResNet 1 exact"])
    again = ladder(text.replace("bicubic_x2 = {}", "bicubic_x2 = {}\ngaussian_blur = {}"), *rungs)
    assert again.code == 0, again.err
    assert Path("calls.txt").read_text().splitlines() == calls
    row = found(defense="gaussian_blur", rung="surrogate", source="jpeg", attack="planted")
    assert row.n == 8


def test_worst_cases_are_over_all_rungs_and_none_knows_one(ladder: Callable[..., Answer]) -> None:
    text = LADDER.replace("fgsm = {}", 'planted = { eps = "0.5" }').replace(
        "[attacks]", '[threat]\neps = "0.5"\n\n[attacks]'
    )
    assert ladder(text, "--limit", "24").code == 0
    results, of = load_results(Path("runs/tiny")), {"attack": "planted", "eps": 0.5}
    for name, missing in (("jpeg", {"surrogate", "white_box"}), (BICUBIC, set())):
        clean = verdicts(found(defense=name, rung="", attack="none"))
        rows = list(results.rows(defense=name, **of))
        assert {row.rung for row in rows} == set(load_config(Path("tiny.toml")).rungs) - missing
        worst = found(defense=name, rung="adaptive", attack="worst", eps=0.5)
        assert np.array_equal(verdicts(worst), np.all([verdicts(row) for row in rows], axis=0))
        gray = found(defense=name, rung="gray_box", attack="worst", eps=0.5)
        assert np.array_equal(verdicts(gray), clean)
        # Each rung has broken images of its own, and the first one that did counts.
        standing, count = clean, {"clean": int((~clean).sum())}
        for rung in Rung:
            right = np.all([clean, *(verdicts(r) for r in rows if r.rung == rung)], axis=0)
            if rung not in missing and rung != "black_box":
                count[f"{rung} planted"] = int((standing & ~right).sum())
            standing = standing & right
        assert worst.broken_by == {**count, "standing": worst.correct}
        assert sum(worst.broken_by.values()) == worst.n == 24
        assert count["transfer planted"] > 0
        assert count.get("surrogate planted", 1) > 0
        assert max(count.get("white_box planted", 0), count["bpda planted"]) > 0
    # There is nothing to know of none, and what breaks it elsewhere is no attack on it.
    clean = verdicts(found(defense="none", rung="", attack="none"))
    for source in ("soft", "jpeg"):
        row = found(defense="none", source=source, **of)
        assert row.correct < clean.sum()
    for worst_of in ("gray_box", "adaptive"):
        worst = found(defense="none", rung=worst_of, attack="worst", eps=0.5)
        assert np.array_equal(verdicts(worst), clean)


@pytest.mark.parametrize(
    ("names", "settings", "eps"),
    [(("deepfool", "ddn"), "steps = 5", 0.5), (("planted_minimal",), "", 40.0)],
)
def test_minimal_attacks_that_are_replayed_stay_outside(
    ladder: Callable[..., Answer], names: tuple[str, ...], settings: str, eps: float
) -> None:
    attacks = "".join(f"{name} = {{ {settings} }}\n" for name in names)
    text = LADDER.replace("fgsm = {}\n", attacks).replace(
        "[attacks]", f'[threat]\nnorm = "l2"\neps = "{eps}"\n\n[attacks]'
    )
    answer = ladder(text, "--limit", "16", "-d", "bicubic_x2")
    assert answer.code == 0, answer.err
    results = load_results(Path("runs/tiny"))
    assert all(facts["counted"] for facts in results.document["attacks"].values())
    rows = [r for r in results.rows(defense=BICUBIC, eps=eps) if r.attack in names]
    replayed = [r for r in rows if Rung(r.rung).replays]
    assert len(replayed) == 4 * len(names)
    known = np.all([verdicts(r) for r in rows if r not in replayed], axis=0)
    worst = found(defense=BICUBIC, rung="adaptive", attack="worst")
    assert np.array_equal(verdicts(worst), known)
    told = {f"{rung} {name}" for rung in ("white_box", "bpda") for name in names}
    assert worst.broken_by.keys() == {"clean", "standing", *told}
    assert results.row(defense=BICUBIC, rung="gray_box", attack="worst") is None
    if names == ("planted_minimal",):
        # Both kinds of source break images that those who know the defense leave standing.
        for source in ("soft", "jpeg"):
            row = found(defense=BICUBIC, source=source, attack="planted_minimal", eps=eps)
            assert (known & ~verdicts(row)).any()
