"""Random defenses: gradients over draws, verdicts on fresh ones, scores over twenty."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from superdef_bench import AttackContext, InputTransform, load_model
from superdef_bench.core.rng import Random
from superdef_bench.core.transform import Protected
from superdef_bench.engine import cross_entropy, look
from superdef_bench.results.load import load_results
from superdef_bench.results.rows import verdicts
from superdef_bench.results.statistics import unpack_counts
from tests.support.commands import CONFIG, Answer, records

pytestmark = pytest.mark.ci

Run = Callable[..., Answer]
Write = Callable[..., Path]

ALWAYS = """
from superdef_bench import InputTransform, hookimpl

class Same(InputTransform):
    stochastic = True
    def transform(self, x, *, random):
        random.uniform(1)
        return x

class Plain(InputTransform):
    def transform(self, x):
        return x

@hookimpl
def register_defenses():
    return {"drawn": Same, "plain": Plain}
"""


def test_eot_on_a_deterministic_defense_is_the_plain_attack_bit_for_bit(
    run_cli: Run, config: Write, plugin_folder: Callable[..., Path]
) -> None:
    text = CONFIG.replace("fgsm = {}", "pgd = { steps = 5 }")
    kept = []
    for eot in (1, 16):
        path = config(text.replace("masking = 0", f"masking = 0\neot = {eot}"))
        run_cli("run", path, "-o", f"runs/{eot}")
        rows = records(Path(f"runs/{eot}"))
        ordered = sorted(rows, key=lambda row: row["key"])
        kept.append([{k: r[k] for k in r if k != "seconds"} for r in ordered])
    assert kept[0] == kept[1]


def test_a_single_draw_of_a_constant_is_the_plain_attack(
    run_cli: Run, config: Write, plugin_folder: Callable[..., Path]
) -> None:
    text = CONFIG.replace("fgsm = {}", "pgd = { steps = 5 }").replace(
        "bicubic_x2 = {}", "drawn = {}\nplain = {}"
    )
    text = text.replace("masking = 0", "masking = 0\neot = 1")
    # Rounded to 8 bits, both rows get the whole budget.
    answer = run_cli("run", config(text), "--plugins-dir", plugin_folder(ALWAYS), "--eightbit")
    assert answer.code == 0, answer.err
    compared = ("rung", "eps", "image_id", "success", "linf", "l2", "first_step")
    drawn, plain = (
        sorted(
            [str(row[k]) for k in compared]
            for row in records(Path("runs/tiny"))
            if row["defense"] == name
        )
        for name in ("drawn", "plain")
    )
    assert drawn == plain


class Coin(InputTransform):
    """Shows the image with a chance, else black."""

    stochastic = True

    def __init__(self, chance: float) -> None:
        super().__init__()
        self.chance = chance

    def transform(self, x: Tensor, *, random: Random) -> Tensor:
        return x * (random.uniform(1, 1, 1) < self.chance)


def test_the_gradient_is_the_mean_over_draws() -> None:
    model, ids = load_model("signs_resnet8"), torch.arange(3)
    x, y = torch.rand(3, 3, 32, 32), torch.tensor([1, 2, 3])
    protected = Protected([Coin(0.5)], model)
    context = AttackContext.start(ids, Random(0, "test", ids), eot=5)
    seen = look(protected.view("exact"), x, y, context, cross_entropy, gradient=True)
    assert seen.gradient is not None
    single = AttackContext.start(ids, Random(0, "test", ids), eot=1)
    view = protected.view("exact")
    looks = [look(view, x, y, single, cross_entropy, gradient=True) for _ in range(5)]
    slopes = [one.gradient for one in looks if one.gradient is not None]
    assert torch.allclose(seen.gradient, torch.stack(slopes).mean(dim=0), atol=1e-6)
    assert torch.allclose(seen.loss, torch.stack([one.loss for one in looks]).mean(dim=0))


def test_draws_in_parts_are_those_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, ids = load_model("signs_resnet8"), torch.arange(3)
    x, y = torch.rand(3, 3, 32, 32), torch.tensor([1, 2, 3])
    protected = Protected([Coin(0.5)], model)
    context = AttackContext.start(ids, Random(0, "test", ids), eot=7)
    found = []
    for at_once in (256, 6, 1):
        monkeypatch.setattr("superdef_bench.engine.gradient._AT_ONCE", at_once)
        seen = look(protected.view("exact"), x, y, context, cross_entropy, gradient=True)
        assert seen.gradient is not None
        found.append((seen.loss, seen.gradient))
    for loss, gradient in found[1:]:
        assert torch.allclose(loss, found[0][0], atol=1e-5)
        assert torch.allclose(gradient, found[0][1], atol=1e-6)


def test_the_whole_budget_is_spent_on_every_image(run_cli: Run, config: Write) -> None:
    """An example that fools a few draws by luck must not end the attack."""
    text = CONFIG.replace("bicubic_x2 = {}", "random_resize_pad = {}").replace(
        "fgsm = {}", "pgd = { steps = 6 }"
    )
    text = text.replace("masking = 0", "masking = 0\neot = 4")
    run_cli("run", config(text), "--limit", "16")
    rows = [
        r for r in records(Path("runs/tiny")) if r["rung"] == "white_box" and r["defense"] != "none"
    ]
    wrong = {
        eps: {r["image_id"]: r["bits"].count("1") for r in rows if r["eps"] == eps}
        for eps in (2 / 255, 8 / 255)
    }
    assert all(wrong[8 / 255][name] >= count for name, count in wrong[2 / 255].items())
    torn = [r for r in rows if r["eps"] == 8 / 255 and 0 < wrong[2 / 255][r["image_id"]] < 20]
    # Broken by most draws or not, it is attacked again; whoever is kept cost nothing.
    assert torn
    assert {r["forwards"] for r in rows} <= {0.0, 28.0}
    assert all(
        r["forwards"] == 28.0
        for r in torn
        if wrong[8 / 255][r["image_id"]] > wrong[2 / 255][r["image_id"]]
    )


def test_scores_are_means_over_draws_and_bits_majorities(run_cli: Run, config: Write) -> None:
    text = CONFIG.replace("bicubic_x2 = {}", "random_resize_pad = {}")
    assert run_cli("run", config(text), "--limit", "24").code == 0
    results, name = load_results(Path("runs/tiny")), "random_resize_pad (native)"
    rows = [r for r in records(Path("runs/tiny")) if r["defense"] == name]
    assert {r["draws"] for r in rows} == {20}
    assert {len(r["bits"]) for r in rows} == {20}
    assert all(r["success"] == (r["bits"].count("1") > 10) for r in rows)
    assert len({r["bits"] for r in rows}) > 2
    for row in results.rows(defense=name):
        right = unpack_counts(row.shares or "")
        assert row.accuracy == pytest.approx(right.mean() / 20, abs=1e-6)
        assert np.array_equal(verdicts(row), right >= 10)
        assert row.ci_low <= row.accuracy <= row.ci_high
    parts = [
        unpack_counts(row.shares or "")
        for row in results.rows(defense=name, attack="fgsm", eps=8 / 255)
    ]
    worst = results.row(defense=name, rung="adaptive", attack="worst", eps=8 / 255)
    assert worst is not None
    assert np.array_equal(unpack_counts(worst.shares or ""), np.minimum.reduce(parts))
    text = Path("runs/tiny/tiny.md").read_text()
    assert "## Stochastic defenses" in text
    assert "is not ranked" not in text


def test_score_draws_are_none_of_the_attack(run_cli: Run, config: Write) -> None:
    """The same draws score a clean image and its example, whatever the attack drew."""
    text = CONFIG.replace("bicubic_x2 = {}", "random_resize_pad = {}")
    run_cli("run", config(text), "-a", "none", "--rung", "gray_box", "--limit", 16)
    rows = [r for r in records(Path("runs/tiny")) if r["defense"] != "none"]
    bits = {
        rung: {r["image_id"]: r["bits"] for r in rows if r["rung"] == rung}
        for rung in ("", "gray_box")
    }
    assert bits["gray_box"] == bits[""]
    assert len(bits[""]) == 16


def test_threat_of_a_random_defense_is_batch_independent(run_cli: Run, config: Write) -> None:
    text = CONFIG.replace("bicubic_x2 = {}", "random_resize_pad = {}").replace(
        "fgsm = {}", "pgd = { steps = 4 }"
    )
    found = []
    for size in (8, 3):
        run_cli("run", config(text), "--batch-size", size, "-o", f"runs/{size}")
        results = load_results(Path(f"runs/{size}"))
        rows = results.rows(defense="random_resize_pad (native)")
        found.append([(r.rung, r.eps, r.verdicts) for r in rows])
        assert not any(r.batch_dependent for r in results.accuracy)
    assert found[0] == found[1]
