"""The recipe `detector`, and the defense `gated` that asks what it wrote."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from superdef_bench import testing
from superdef_bench.analysis.detections import Detections, Kind
from superdef_bench.core.loader import load_dataset, load_defense
from superdef_bench.nn import Detector, ResNet, roc_area
from superdef_bench.nn.weights import find_weights, load_weights, save_weights
from superdef_bench.results.load import load_results
from superdef_bench.training.detector import _settle, on_levels
from tests.support.commands import Answer
from tests.support.small import SMALL


def test_the_area_under_a_curve_is_how_often_the_attacked_image_scores_higher() -> None:
    clean, attacked = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, 3.0])
    # Of six pairs: 1 > 0, 1 = 1 (a half), 1 < 2, 3 > all.
    assert roc_area(clean, attacked) == pytest.approx((1 + 0.5 + 0 + 3) / 6)
    assert roc_area(clean, clean) == pytest.approx(0.5)
    assert roc_area(clean, attacked + 9) == 1.0


def test_a_row_says_what_is_stopped_and_what_that_takes() -> None:
    clean, pgd = Kind("clean"), Kind("pgd", "8/255")
    scores = {clean: torch.tensor([-1.0, -2.0, -3.0, 0.5]), pgd: torch.tensor([1.0, -1.5])}
    row = Detections("row", scores, passing=2.0, stopped=10.0, always=9.0)
    assert (row.share(clean), row.share(pgd)) == (0.25, 0.5)
    assert row.mean(clean) == 0.25 * 10 + 0.75 * 2
    assert row.area(pgd) == (4 + 2) / 8
    points = [(0, 0), (0, 0.5), (0.25, 0.5), (0.5, 0.5), (0.5, 1), (0.75, 1), (1, 1)]
    assert row.curve(pgd) == points


def test_the_threshold_lies_at_zero_and_scores_two_away() -> None:
    torch.manual_seed(0)
    detector = Detector(ResNet(blocks=1, num_classes=1, width=4)).eval()
    clean, attacked = (torch.rand(200, 3, 8, 8) for _ in range(2))
    with torch.no_grad():
        before = detector(clean)
        _settle(detector, before, detector(attacked), 0.05)
        after = torch.cat([detector(clean), detector(attacked)])
    assert float((after[:200] > 0).float().mean()) == pytest.approx(0.045, abs=0.0051)
    assert float(after.abs().mean()) == pytest.approx(2.0, rel=1e-3)
    assert torch.equal(before.argsort(), after[:200].argsort())


def test_the_defense_keeps_its_contract_on_a_task_it_has_a_detector_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = replace(testing.toy_task(), loader=find_weights)
    trained = {
        "dataset": task.dataset,
        "class_names": list(task.class_names),
        "input_shape": list(task.input_shape),
    }
    path = tmp_path / "toy.safetensors"
    network = ResNet(blocks=1, num_classes=1, width=4)
    save_weights(path, network.state_dict(), {"kind": "detector", "task": trained})
    monkeypatch.setattr(testing, "toy_task", lambda: task)
    checks = list(testing.check_defense(load_defense("gated", path=str(path))))
    assert len(checks) > 5
    assert [check for check in checks if check[1]] == []


def test_eight_bits_are_those_of_the_images_that_are_named() -> None:
    x = torch.rand(4, 3, 5, 5)
    found = on_levels(x, torch.tensor([True, False, True, False]))
    assert torch.equal(found[1::2], x[1::2])
    levels = found[::2] * 255
    torch.testing.assert_close(levels, levels.round())
    assert float((found - x).abs().max()) <= 0.5 / 255 + 1e-6


WEIGHTS = "out/signs_resnet8_detector.safetensors"
GATE = f'{{ plugin = "gated", path = "{WEIGHTS}" }}'
CONFIG = f"""
[run]
dataset = "small"
model = "signs_resnet8"
limit = 8
masking = 4
rungs = ["gray_box", "white_box", "bpda"]

[threat]
eps = ["8/255"]

[attacks]
pgd = {{ steps = 3 }}

[defenses]
bicubic_x2 = {{}}
gated_x2 = {{ chain = [{GATE}, "bicubic_x2"] }}
gated_noise = {{ chain = [{GATE}, "jpeg", "gaussian_noise"] }}
"""


@pytest.mark.ci
def test_the_command_trains_what_the_defense_then_asks(
    run_cli: Callable[..., Answer],
    plugin_folder: Callable[..., Path],
    config: Callable[..., Path],
) -> None:
    folder = plugin_folder(SMALL)
    words = ("train", "detector", "--data", "small", "--plugins-dir", folder, "-o", "out")
    answer = run_cli(*words)
    assert answer.code == 2
    assert "recipe 'detector' needs a classifier" in answer.err
    named = (*words, "--model", "signs_resnet8")
    answer = run_cli(*named, "--false-alarms", "1")
    assert "false_alarms is 1.0" in answer.err
    answer = run_cli(*named, "--epochs", "2", "--batch-size", "16", "--width", "8")
    assert answer.code == 0, answer.err
    record = json.loads(Path(WEIGHTS).with_suffix(".json").read_text())
    assert record["kind"] == "detector"
    assert record["validation"]["stopped"] <= 0.05 + 1 / record["validation"]["images"]
    assert record["test"]["attacks"].keys() == {
        "fgsm",
        "pgd",
        "pgd_half",
        "pgd_quarter",
        "margin_quarter",
    }
    curve = record["test"]["roc"]
    assert curve == sorted(curve, reverse=True)
    answer = run_cli("run", config(CONFIG), "--plugins-dir", folder, "-o", "run")
    assert answer.code == 0, answer.err
    found = load_results(Path("run")).document
    facts = found["defenses"]
    assert facts["gated_x2 (native)"]["arguments"]["chain"][0]["plugin"] == "gated"
    rungs = {(row["defense"], row["rung"]) for row in found["accuracy"]}
    assert {("gated_x2 (native)", "white_box"), ("gated_noise", "bpda")} <= rungs
    costs = {(row["defense"], row["scope"]): row for row in found["cost"]}
    alone = costs["gated_x2 (native)", "defense"]
    detector = ResNet.of(load_weights(Path(WEIGHTS))).fold()
    assert alone["params"] == sum(p.numel() for p in detector.parameters())
    assert alone["gmac"] > 0
    answer = run_cli("detections", "run", "-o", "seen", "--plugins-dir", folder)
    assert answer.code == 0, answer.err
    shown = json.loads(Path("seen/detections.json").read_text())
    assert [row["row"] for row in shown] == ["gated_x2 (native)", "gated_noise"]
    for row in shown:
        clean, attacked = row["kinds"]
        assert (clean["images"], attacked["images"], attacked["eps"]) == ("clean", "pgd", "8/255")
        assert clean["n"] == attacked["n"] == 8
        gmac, share = row["gmac"], clean["stopped"]
        mean = share * gmac["stopped"] + (1 - share) * gmac["passing"]
        assert clean["gmac"] == pytest.approx(mean)
    # Enlarged, the image costs the classifier four times as much; noise costs nothing.
    asked = alone["gmac"]
    pipeline = costs["gated_x2 (native)", "pipeline"]["gmac"]
    assert shown[0]["gmac"]["stopped"] == pytest.approx(pipeline, abs=1e-6)
    without = shown[0]["gmac"]["stopped"] - asked
    assert shown[0]["gmac"]["always"] == pytest.approx(without, abs=1e-6)
    without = shown[1]["gmac"]["passing"] - asked
    assert shown[1]["gmac"]["always"] == pytest.approx(without, abs=1e-6)
    assert "![ROC curves" in Path("seen/detections.md").read_text()
    # A detector with nothing behind it is refused, and one behind a transform.
    text = CONFIG.replace(', "bicubic_x2"] }', "] }")
    answer = run_cli("run", config(text), "--plugins-dir", folder)
    assert "defense 'gated' has nothing behind it" in answer.err
    text = CONFIG.replace('["gray_box", "white_box", "bpda"]', '["gray_box"]').replace(
        f'[{GATE}, "jpeg"',
        f'["jpeg", {GATE}',
    )
    answer = run_cli("run", config(text), "--plugins-dir", folder)
    assert answer.code == 2
    assert "chains Gated, which is no transform" in answer.err
    x = load_dataset("signs", split="test").load([0])[0]
    assert Detector.of(load_weights(Path(WEIGHTS)))(x).shape == (1,)
