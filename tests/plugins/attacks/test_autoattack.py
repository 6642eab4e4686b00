"""The reference AutoAttack as a plugin, and under the name that RobustBench imports."""

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from superdef_bench import AttackContext, ConfigError, Random, Threat, load_attack
from superdef_bench.testing import toy_images, toy_model
from tests.support.plugin_files import plugin_module


def run(model: nn.Module, x: Tensor, y: Tensor, eps: float, seed: int = 0) -> Tensor:
    ids = torch.arange(len(x))
    context = AttackContext.start(ids, Random(seed, "test", ids), goal="strength")
    return load_attack("autoattack")(model, x, y, Threat("linf", eps), context)


class FewClasses(nn.Module):
    def __init__(self, count: int) -> None:
        super().__init__()
        self.count, self.inner = count, toy_model()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inner(x)[:, : self.count]
        return logits


def test_it_is_no_weaker_than_pgd_and_keeps_its_seed() -> None:
    x, ids = toy_images(8)
    model = toy_model()
    y = model(x).argmax(dim=1)
    context = AttackContext.start(ids, Random(0, "test", ids), goal="strength")
    pgd = load_attack("pgd")(model, x, y, Threat("linf", 0.02), context)
    found = run(model, x, y, 0.02)
    assert int((model(found).argmax(1) == y).sum()) <= int((model(pgd).argmax(1) == y).sum())
    assert torch.equal(found, run(model, x, y, 0.02))
    assert not torch.equal(found, run(model, x, y, 0.02, seed=1))


def test_images_wrong_from_the_start_are_attacked_too() -> None:
    x, _ = toy_images(4)
    model = toy_model()
    wrong = model(x).argmin(dim=1)
    found = run(model, x, wrong, 0.05)
    loss = nn.functional.cross_entropy
    assert float((found - x).abs().max()) > 0.04
    assert float(loss(model(found), wrong)) > float(loss(model(x), wrong))


def test_channels_last_images_do_not_stop_it() -> None:
    x, _ = toy_images(4)
    model = toy_model()
    y = model(x).argmax(dim=1)
    found = run(model, x.contiguous(memory_format=torch.channels_last), y, 0.05)
    assert int((model(found).argmax(1) == y).sum()) == 0


def test_few_classes_get_fewer_targets_and_three_are_refused() -> None:
    x, _ = toy_images(4)
    five = FewClasses(5).eval()
    y = five(x).argmax(dim=1)
    assert int((five(run(five, x, y, 0.1)).argmax(1) == y).sum()) == 0
    three = FewClasses(3).eval()
    with pytest.raises(ConfigError, match="needs 4 classes or more"):
        run(three, x, three(x).argmax(dim=1), 0.1)


def test_the_alias_has_the_original_signatures() -> None:
    alias = plugin_module("models.robustbench.autoattack_alias")
    module = alias.install_alias()
    assert importlib.import_module("autoattack") is module
    state = importlib.import_module("autoattack.state")
    assert state.EvaluationState is importlib.import_module("pyautoattack.state").EvaluationState
    x, _ = toy_images(4)
    model = toy_model()
    y = model(x).argmax(dim=1)
    adversary = module.AutoAttack(
        model, norm="Linf", eps=0.1, version="standard", device=torch.device("cpu"), log_path=None
    )
    found = adversary.run_standard_evaluation(x, y, bs=4, state_path=None)
    assert found.shape == x.shape
    assert int((model(found).argmax(1) == y).sum()) == 0
    with pytest.raises(TypeError, match="logs through the logger"):
        alias.AutoAttack(model, log_path="log.txt", device="cpu")


def test_robustbench_imports_through_the_alias_and_only_when_asked() -> None:
    lines = [
        "import sys",
        "from superdef_bench.autoattack import install_alias",
        "import superdef_bench.core.loader as p; p.load_plugins()",
        "assert 'robustbench' not in sys.modules",
        "install_alias()",
        "from robustbench.eval import benchmark",
        "print(benchmark.__module__)",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "robustbench.eval", done.stderr


@pytest.mark.skipif(
    importlib.util.find_spec("autoattack") is not None, reason="a real autoattack is installed"
)
def test_a_real_autoattack_is_preferred(tmp_path: Path) -> None:
    (tmp_path / "autoattack.py").write_text("REAL = True\n")
    code = "from superdef_bench.autoattack import install_alias; print(install_alias().REAL)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "True", done.stderr
