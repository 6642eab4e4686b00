"""Batch norm that keeps its statistics, and weights that a classifier begins with."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from superdef_bench import ConfigError
from superdef_bench.nn import ResNet
from superdef_bench.nn.weights import load_weights
from superdef_bench.training import Adversary
from tests.support.commands import Answer
from tests.support.small import SMALL
from tests.support.training import SETTINGS, fresh, train

pytestmark = pytest.mark.slow

Run = Callable[..., Answer]
TINY = ("--epochs", 1, "--batch-size", 32, "--width", 8)


def statistics(model: ResNet) -> list[torch.Tensor]:
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    return [norm.running_mean.clone() for norm in norms if norm.running_mean is not None]


@pytest.mark.parametrize("adversary", [None, Adversary("n_fgsm")])
def test_frozen_statistics_stay_while_the_weights_learn(
    tmp_path: Path, adversary: Adversary | None
) -> None:
    frozen, followed = fresh(), fresh()
    before, weight = statistics(frozen), frozen.stem.weight.clone()
    settings = replace(SETTINGS, epochs=1, adversary=adversary)
    train(frozen, tmp_path / "a.safetensors", replace(settings, frozen=1.0))
    train(followed, tmp_path / "b.safetensors", settings)
    assert all(map(torch.equal, statistics(frozen), before))
    assert not any(map(torch.equal, statistics(followed), before))
    assert not torch.equal(frozen.stem.weight, weight)


def test_a_share_of_the_steps_is_frozen(tmp_path: Path) -> None:
    model, seen = fresh(), list[bool]()
    norm = model.norm
    norm.register_forward_pre_hook(lambda module, _: seen.append(module.training))
    model.register_forward_pre_hook(
        lambda module, _: None if module.training else seen.append(False)
    )
    train(model, tmp_path / "a.safetensors", replace(SETTINGS, epochs=2, frozen=0.4))
    # Ten steps of two sizes each; those of validation run in between.
    assert sum(seen) == 2 * 6
    with pytest.raises(ConfigError, match=r"frozen is 1\.5"):
        replace(SETTINGS, frozen=1.5)


def test_a_classifier_goes_on_from_weights_and_says_from_which(
    run_cli: Run, plugin_folder: Callable[[str], Path]
) -> None:
    base = ("train", "classifier", "--data", "small", "--plugins-dir", plugin_folder(SMALL), *TINY)
    assert run_cli(*base, "-o", "first").code == 0
    (first,) = (p for p in Path("first").glob("*.safetensors") if "checkpoint" not in p.name)
    answer = run_cli(*base, "-o", "second", "--init", first, "--lr", "1e-12", "--frozen", 1)
    assert answer.code == 0, answer.err
    record = json.loads((Path("second") / first.with_suffix(".json").name).read_text())
    assert (
        record["settings"]["init"] == json.loads(first.with_suffix(".json").read_text())["sha256"]
    )
    for name, tensor in load_weights(Path("second") / first.name).items():
        torch.testing.assert_close(tensor, load_weights(first)[name], atol=1e-6, rtol=1e-6)
    other = run_cli(*base, "-o", "third", "--init", first, "--width", 16)
    assert other.code == 2
    assert "hint: --width 8" in other.err
    missing = run_cli(*base, "-o", "third", "--init", "nothing.safetensors")
    assert missing.code == 2
    assert "nothing.safetensors does not exist" in missing.err
