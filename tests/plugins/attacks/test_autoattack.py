"""The reference AutoAttack as a plugin, and under the name that RobustBench imports."""

import importlib
import importlib.util
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from superdef_bench import (
    AttackContext,
    ConfigError,
    Protected,
    Random,
    Threat,
    load_attack,
    load_dataset,
    load_defense,
    load_model,
)
from superdef_bench.testing import toy_images, toy_model, toy_task
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


PARTS = ("apgd_ce", "apgd_dlr", "apgd_t", "fab", "fab_t")


def own(version: str = "standard") -> Any:
    return load_attack("autoattack", engine="own", version=version)


def attacked(attack: Any, model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    ids = torch.arange(len(x))
    context = AttackContext.start(ids, Random(0, "test", ids))
    found: Tensor = attack(model, x, y, Threat("linf", eps), context)
    return found


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param(("apgd_ce", "apgd_t", "fab_t"), marks=pytest.mark.ci),
        # Its 5,000 queries, twice.
        pytest.param(("apgd_ce", "apgd_t", "fab_t", "square"), marks=pytest.mark.slow),
    ],
)
def test_the_own_engine_breaks_what_the_reference_breaks(parts: tuple[str, ...]) -> None:
    x, ids = toy_images(12)
    model = toy_model()
    y = model(x).argmax(dim=1)
    broken = []
    for engine in ("own", "reference"):
        attack: Any = load_attack("autoattack", engine=engine)
        context = AttackContext.start(ids, Random(0, "test", ids))
        *_, (_, found) = attack.sequence(model, x, y, Threat("linf", 0.004), context, parts)
        broken.append(model(found).argmax(dim=1) != y)
    assert 0 < int(broken[1].sum()) < 12
    assert torch.equal(*broken)


@pytest.mark.parametrize("name", ["apgd_dlr", "apgd_t", "fab_t"])
def test_no_pass_through_a_random_defense_is_outside_its_draws(name: str) -> None:
    x, ids = toy_images(70)  # times nine targets, more rows than are attacked at once
    noisy = load_defense("gaussian_noise").protect(toy_model(), toy_task())
    assert isinstance(noisy, Protected)
    y = toy_model()(x).argmax(dim=1)
    attack = load_attack(name, steps=2)

    def examples(index: Tensor) -> Tensor:
        view = noisy.view("exact")
        numbers = Random(0, "test", ids[index])
        context = AttackContext.start(ids[index], numbers, goal="strength")
        found = attack(view, x[index], y[index], Threat("linf", 0.01), context)
        assert not view.drew_by_row
        return found

    last = torch.arange(60, 70)
    assert torch.allclose(examples(last), examples(torch.arange(70))[last], atol=1e-5)


@pytest.mark.parametrize(
    ("version", "parts"),
    [
        ("standard", ["apgd_ce", "apgd_t", "fab_t", "square"]),
        ("plus", ["apgd_ce", "apgd_dlr", "fab", "square", "apgd_t", "fab_t"]),
        ("rand", ["apgd_ce", "apgd_dlr"]),
    ],
)
@pytest.mark.parametrize("engine", ["own", "reference"])
def test_each_version_runs_its_parts_in_order(version: str, parts: list[str], engine: str) -> None:
    x, ids = toy_images(4)
    model = toy_model()
    y = model(x).argmax(dim=1)
    attack: Any = load_attack("autoattack", engine=engine, version=version)
    context = AttackContext.start(ids, Random(0, "test", ids))
    steps = list(attack.sequence(model, x, y, Threat("linf", 0.1), context))
    assert [name for name, _ in steps] == parts
    assert int((model(steps[-1][1]).argmax(dim=1) == y).sum()) == 0


def test_rows_say_which_engine_and_version_ran() -> None:
    usual: Any = load_attack("autoattack", engine="reference")
    assert usual.qualifier(10) == ""
    assert usual.qualifier(5) == "4 targets"
    assert own().qualifier(43) == "own engine"
    assert own("rand").qualifier(5) == "own engine, rand"
    more: Any = load_attack("autoattack", version="plus")
    assert more.qualifier(5) == "own engine, plus, 4 targets"
    with pytest.raises(ConfigError, match="'engine' of attack 'autoattack' is 'other'"):
        load_attack("autoattack", engine="other")


class Probabilities(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = toy_model()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inner(x)
        return logits.softmax(dim=1)


@pytest.mark.parametrize("name", ["apgd_dlr", "apgd_t"])
def test_probabilities_are_warned_of_with_the_evidence(name: str) -> None:
    x, _ = toy_images(4)
    model = Probabilities().eval()
    y = model(x).argmax(dim=1)
    attack = load_attack(name, steps=2)
    with pytest.warns(UserWarning, match=r"probabilities \(.* and each of 4 answers sums to 1\)"):
        attacked(attack, model, x, y, 0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attacked(attack, toy_model(), x, y, 0.01)


class Unsound(nn.Module):
    """Answers NaN to what is brighter than the images of the test."""

    def __init__(self, most: float) -> None:
        super().__init__()
        self.inner, self.most = toy_model(), most

    def forward(self, x: Tensor) -> Tensor:
        bright = x.flatten(1).mean(dim=1) > self.most
        logits: Tensor = self.inner(x)
        return torch.where(bright[:, None], torch.nan, logits)


@pytest.mark.parametrize("name", PARTS)
def test_logits_that_are_no_numbers_leave_images_that_are_some(name: str) -> None:
    x, _ = toy_images(4)
    model = Unsound(float(x[2].mean()) + 1e-3).eval()
    y = toy_model()(x).argmax(dim=1)
    found = attacked(load_attack(name, steps=5), model, x, y, 0.02)
    assert bool(torch.isfinite(found).all())
    assert float((found - x).abs().max()) <= 0.02 + 1e-6


@pytest.mark.parametrize("name", PARTS)
def test_a_batch_of_one_is_attacked(name: str) -> None:
    x, _ = toy_images(1)
    model = toy_model()
    y = model(x).argmax(dim=1)
    found = attacked(load_attack(name, steps=20), model, x, y, 0.05)
    assert int(model(found).argmax(dim=1)) != int(y)


@pytest.mark.ci
def test_examples_made_for_strength_replay_no_worse_than_those_made_for_a_verdict() -> None:
    benchmark = load_dataset("signs")
    x, y = benchmark.load(range(8))
    bare = Protected((), load_model("signs_resnet8").eval().requires_grad_(False))
    behind = load_defense("bicubic_x2").protect(bare, toy_task()).eval()
    ids, threat = torch.arange(8), Threat("linf", 8 / 255)
    left = {}
    for goal in ("strength", "verdict"):
        context = AttackContext.start(ids, Random(0, "test", ids), goal=goal)
        found = own()(bare, x, y, threat, context)
        left[goal] = int((behind(found).argmax(dim=1) == y).sum())
    assert left["strength"] <= left["verdict"]
    assert left["strength"] < 8
