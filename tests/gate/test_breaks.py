"""Defenses that are broken for real: the gate fails and says why; where nothing is, it passes."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from superdef_bench.benchmark.build import build
from superdef_bench.benchmark.config import find_config, load_config
from superdef_bench.core.loader import load_plugins
from superdef_bench.nn.weights import SHIPPED, load_weights, read_provenance, save_weights
from superdef_bench.results.load import load_results
from superdef_bench.results.schema import Results
from superdef_bench.run.plan import make_plan
from superdef_bench.run.runner import run
from tests.support.commands import Answer

pytestmark = pytest.mark.ci

Run = Callable[..., Answer]
BASELINE = Path(__file__).parents[2] / "leaderboards/gate/baseline.json"

CONFIG = """
[run]
dataset = "signs"
model = "signs_resnet8"
limit = 64
masking = 0
rungs = ["gray_box"]
[threat]
eps = ["8/255"]
[attacks.replay]
file = "gate-examples.safetensors"
sha256 = "{sha256}"
[defenses]
{defense}
"""

BLUR = """
import time
import torch
from torch.nn import functional
from superdef_bench import InputTransform, hookimpl

class Smooth(InputTransform):
    \"\"\"Bicubic enlargement.\"\"\"
    def transform(self, x):
        {stage}
        return functional.interpolate(x, scale_factor=2, mode="bicubic").clamp(0, 1)

@hookimpl
def register_defenses():
    return {{"smooth": Smooth}}
"""
# Other tests run beside these: time is what the last test alone is about.
COMPARE = ("compare", "--fail-on", "latency:off")
CONVOLVED = "functional.conv2d(x, torch.zeros(64, 3, 3, 3))"


def measure(folder: Path, defense: str, plugins: Path | None = None) -> Path:
    """Run the replay of 64 examples on a defense, into a folder of its own."""
    sha256 = load_config(find_config("gate")).attacks[0].arguments["sha256"]
    config = folder.parent / "breaks.toml"
    config.write_text(CONFIG.format(sha256=sha256, defense=defense))
    registry = load_plugins([plugins] if plugins else [])
    built = build(load_config(config), registry, torch.device("cpu"))
    run(built, make_plan(built), folder, command="")
    return folder


@pytest.fixture
def smooth(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that runs a defense of which a stage is given."""

    def make(name: str, stage: str = "pass", source: str = BLUR) -> Path:
        plugins = tmp_path / f"plugins_{name}"  # a file is imported once per process
        plugins.mkdir()
        (plugins / "smooth.py").write_text(source.format(stage=stage))
        return measure(tmp_path / name, "smooth = {}", plugins)

    return make


def zeroed(path: Path) -> None:
    """Zero the last layer of the weights at `path`, provenance and all."""
    state = load_weights(path)
    for name in ("head.weight", "head.bias"):
        state[name] = torch.zeros_like(state[name])
    save_weights(path, state, read_provenance(path))


def test_weights_zeroed_on_disk_fail_the_gate(run_cli: Run, tmp_path: Path) -> None:
    path = tmp_path / "hardened.safetensors"
    for suffix in (".safetensors", ".json"):
        shipped = SHIPPED / f"signs_resnet8_at{suffix}"
        path.with_suffix(suffix).write_bytes(shipped.read_bytes())
    defense = f'adversarial_training = {{ path = "{path.name}" }}'
    before = measure(tmp_path / "before", defense)
    again = run_cli(*COMPARE, before, measure(tmp_path / "again", defense))
    assert again.code == 0, again.out
    zeroed(path)
    answer = run_cli(*COMPARE, before, measure(tmp_path / "after", defense))
    assert answer.code == 1
    assert "Got worse (3)" in answer.out
    assert "clean adversarial_training: clean" in answer.out
    assert "gray_box adversarial_training: Gray box, replay, 8/255" in answer.out
    assert "fell by" in answer.out


def test_a_weaker_transform_fails_the_gate(run_cli: Run, smooth: Callable[..., Path]) -> None:
    before = smooth("before")
    again = run_cli(*COMPARE, before, smooth("again"))
    assert again.code == 0, again.out
    weaker = BLUR.replace('functional.interpolate(x, scale_factor=2, mode="bicubic")', "x")
    answer = run_cli(*COMPARE, before, smooth("after", source=weaker))
    # The size is in the row's name: a defense that no longer enlarges is another row.
    assert answer.code == 1
    assert "smooth (native): all rows" in answer.out
    coarse = BLUR.replace("clamp(0, 1)", "clamp(0, 1).round()")
    answer = run_cli(*COMPARE, before, smooth("coarse", source=coarse))
    assert answer.code == 1
    assert "fell by" in answer.out


def test_a_slow_stage_fails_the_gate_by_what_it_computes(
    run_cli: Run, smooth: Callable[..., Path]
) -> None:
    before = smooth("before")
    answer = run_cli(*COMPARE, before, smooth("after", CONVOLVED))
    assert answer.code == 1
    assert "gmac smooth (native): defense, 1 x 32x32" in answer.out
    # 64 filters of 3x3x3 at 30x30 places.
    assert "rose 0 to 0.001555" in answer.out


def test_a_slow_stage_fails_the_gate_by_the_time_it_takes(
    run_cli: Run, smooth: Callable[..., Path]
) -> None:
    first, same, slow = (
        smooth(name, f"time.sleep({seconds})")
        for name, seconds in (("first", 0.02), ("same", 0.02), ("slow", 0.06))
    )
    answer = run_cli("compare", first, same, "--fail-on", "latency:60%")
    assert answer.code == 0, answer.out
    answer = run_cli("compare", first, slow, "--fail-on", "latency:60%")
    assert answer.code == 1
    assert "latency smooth (native): pipeline, 1 x 32x32" in answer.out


def test_another_classifier_is_not_compared(run_cli: Run, tmp_path: Path) -> None:
    document = {**load_results(BASELINE).document}
    assert len(document["model"]["weights"]) == 64
    document["model"] = {**document["model"], "weights": "0" * 64}
    Results.of(document).save(tmp_path / "other.json")
    answer = run_cli("compare", BASELINE, "other.json")
    assert (answer.code, answer.out) == (2, "")
    assert "sha256 of the classifier's weights was" in answer.err
