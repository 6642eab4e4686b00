"""Every built-in plugin keeps its contract, and a plugin that breaks it is caught."""

import ast
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from superdef_bench import (
    AttackContext,
    ContractError,
    DataError,
    InputTransform,
    Norm,
    Protected,
    Task,
    Threat,
    load_attack,
)
from superdef_bench.core.checks import check_attack_facts, check_defense_facts
from superdef_bench.core.loader import load_plugins
from superdef_bench.core.plugins import Plugin
from superdef_bench.testing import Check, assert_contract, check_attack, check_defense
from tests.support.commands import Answer

_ALL = list(load_plugins())
_PLUGINS = [plugin for plugin in _ALL if not plugin.needs_arguments]
_FILES = sorted({plugin.file for plugin in _ALL if plugin.source == "built-in"})


# A thousand passes for each question.
_LONG = {"apgd_t", "autoattack"}
# Ten thousand, or a fit to every image; the latter's own tests ask it with a few steps.
_LONGER = {"apgd_pm", "cw", "deep_image_prior", "fab", "fab_t", "hopskipjump", "square"}


@pytest.mark.parametrize(
    "plugin",
    [
        pytest.param(
            p,
            id=f"{p.kind}:{p.name}",
            marks=[
                *([pytest.mark.ci] if p.name in _LONG else []),
                *([pytest.mark.slow] if p.name in _LONGER else []),
            ],
        )
        for p in _PLUGINS
    ],
)
def test_built_in_plugins_keep_their_contract(plugin: Plugin) -> None:
    try:
        assert_contract(plugin, download=False)
    except DataError as error:
        if not {"download", "path"} & plugin.defaults.keys():
            raise
        pytest.skip(error.message)


def test_plugins_say_what_they_are() -> None:
    for plugin in load_plugins():
        assert plugin.summary.endswith("."), plugin.name


@pytest.mark.parametrize("file", _FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_file_is_named_like_its_plugin_or_lists_its_family(file: Path) -> None:
    names = {plugin.name for plugin in _ALL if plugin.file == file}
    source = file / "__init__.py" if file.is_dir() else file
    docstring = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    unlisted = {name for name in names if f"`{name}`" not in docstring}
    assert names == {file.stem} or not unlisted, sorted(unlisted)


def problems(checks: Iterator[Check]) -> str:
    return "; ".join(f"{name}: {problem}" for name, problem in checks if problem)


RAISES = """
from superdef_bench import hookimpl

class Raises:
    norms = frozenset({"linf"})
    kind = "budget"
    access = "gradient"
    def __call__(self, model, x, y, threat, context):
        raise RuntimeError("out of order")

@hookimpl
def register_attacks():
    return {"raises": Raises}
"""


class Broken:
    """PGD with one thing wrong."""

    norms: frozenset[Norm] = frozenset({"linf"})
    kind: str = "budget"
    access: str = "gradient"
    targeted: bool | None = True

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, context: AttackContext
    ) -> Any:
        assert threat.eps is not None
        if self.fault == "no-op":
            return x.clone()
        if self.fault == "wrong sign":
            leaf = x.clone().requires_grad_()
            loss = nn.functional.cross_entropy(model(leaf), y)
            step = threat.eps * torch.autograd.grad(loss, leaf)[0].sign()
            return (x - step).clamp(0, 1)
        if self.fault == "noise in place of a gradient":
            return (x + threat.eps * torch.randn_like(x).sign()).clamp(0, 1)
        found = load_attack("pgd")(model, x, y, threat, context)
        if self.fault == "missing projection":
            return (x + 1.1 * (found - x)).clamp(0, 1)
        if self.fault == "out of range":
            return (x + threat.eps * (found - x).sign()) + (x > 0.999) * 0.01 - 0.05
        if self.fault == "in place":
            return x.copy_(found)
        if self.fault == "nan":
            return found / (found > 2)
        if self.fault == "shape":
            return found[:, :, :-1]
        if self.fault == "type":
            return found.double()
        if self.fault == "no target":
            return load_attack("pgd")(model, x, y, threat, replace(context, target=None))
        if self.fault == "random":
            numbers = torch.Generator()
            numbers.seed()
            return (x + threat.eps * torch.rand(x.shape, generator=numbers)).clamp(0, 1)
        return found


def test_the_attack_that_is_broken_below_is_a_good_one() -> None:
    assert problems(check_attack(Broken(""))) == ""


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("no-op", "fools the toy classifier"),
        ("wrong sign", "fools the toy classifier"),
        ("noise in place of a gradient", "fools the toy classifier"),
        ("missing projection", "left the linf ball: distance 0.11"),
        ("out of range", "returned pixels in"),
        ("in place", "changed its input images"),
        ("nan", "returned NaN"),
        ("shape", "returned shape (6, 3, 31, 32)"),
        ("type", "returned torch.float64"),
        ("random", "gives the same twice"),
        ("no target", "it says targeted = True, and comes no nearer to context.target"),
    ],
)
def test_a_broken_attack_is_caught(fault: str, expected: str) -> None:
    assert expected in problems(check_attack(Broken(fault)))


@pytest.mark.parametrize(
    ("fault", "says", "told"),
    [
        (
            "",
            None,
            "says whether it follows a target: it follows context.target: add targeted = True",
        ),
        ("", False, ""),
        ("no target", None, ""),
    ],
)
def test_an_attack_that_follows_a_target_is_told_to_say_so(
    fault: str, says: bool | None, told: str
) -> None:
    attack = Broken(fault)
    attack.targeted = says
    assert problems(check_attack(attack)) == told


def test_what_several_checks_find_is_said_once(
    run_cli: Callable[..., Answer], plugin_folder: Callable[..., Path]
) -> None:
    folder = plugin_folder(RAISES)
    answer = run_cli("check", "attack:raises", "--plugins-dir", folder)
    assert answer.code == 1
    assert " ".join(answer.out.split()) == (
        "broken attack:raises 9 checks keeps shape, range, ball and input (linf, verdict), "
        "and 6 more checks: raised RuntimeError: out of order"
    )
    told = json.loads(run_cli("check", "raises", "--json", "--plugins-dir", folder).out)
    assert sum("out of order" in check["problem"] for check in told[0]["checks"]) == 7


class Faulty(InputTransform):
    """A smooth transform with one thing wrong."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault
        self.stochastic = fault == "stochastic that draws globally"

    def transform(self, x: Tensor, **_: Any) -> Tensor:
        smooth = nn.functional.avg_pool2d(nn.functional.pad(x, [1] * 4, mode="replicate"), 3, 1)
        match self.fault:
            case "detached":
                return smooth.detach()
            case "no_grad":
                with torch.no_grad():
                    return smooth * 1.0
            case "partly detached":
                return 0.3 * smooth + 0.7 * smooth.detach()
            case "rounded":
                return (smooth * 255).round() / 255
            case "out of range":
                return smooth + 0.5
            case "in place":
                return x.mul_(0.5)
            case "another shape":
                return smooth[:, :1]
            case "darkens by the batch":
                return smooth * (0.5 + 0.5 * smooth.mean())
            case "looks at the batch":
                return (smooth - 0.1 * smooth.mean(dim=0) + 0.05).clamp(0, 1)
            case "hidden randomness" | "stochastic that draws globally":
                return (smooth + 0.01 * torch.randn_like(smooth)).clamp(0, 1)
            case "raises":
                raise RuntimeError("out of order")
        return smooth


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("detached", "has the gradient it claims: autograd disagrees"),
        ("no_grad", "has the gradient it claims: autograd disagrees"),
        ("partly detached", "has the gradient it claims: autograd disagrees"),
        ("rounded", "has the gradient it claims: autograd disagrees"),
        ("out of range", "the limit is [0, 1]"),
        ("in place", "changed its input images"),
        ("another shape", "images (6, 1, 32, 32), the contract is (6, 3, H, W)"),
        ("looks at the batch", "treats an image the same alone and in a batch: they differ"),
        ("darkens by the batch", "treats an image the same alone and in a batch: they differ"),
        ("hidden randomness", "its input: it changed the global generators"),
        ("stochastic that draws globally", "its input: it changed the global generators"),
        ("raises", "raised RuntimeError: out of order"),
    ],
)
def test_a_broken_defense_is_caught(fault: str, expected: str) -> None:
    assert problems(check_defense(Faulty(""))) == ""
    assert expected in problems(check_defense(Faulty(fault)))


class Silent(InputTransform):
    """Forgets to set itself up."""

    def __init__(self) -> None:
        pass


class Wordless(InputTransform):
    """Forgets its transform."""


def test_a_plugin_that_does_not_say_what_it_is_is_caught() -> None:
    assert "call super().__init__() first" in str(hint_of(check_defense_facts, Silent()))
    assert "write transform(self, x)" in str(hint_of(check_defense_facts, Wordless()))
    for name, value in (("norms", "linf"), ("kind", "budgt"), ("access", "gradients")):
        attack = Broken("")
        setattr(attack, name, value)
        assert f"{name} {value!r}" in str(hint_of(check_attack_facts, attack))
        assert f"it has {name} {value!r}" in problems(check_attack(attack))


def hint_of(check: Callable[[str, Any], None], plugin: object) -> ContractError:
    with pytest.raises(ContractError) as error:
        check("it", plugin)
    return error.value


def test_a_defense_that_changes_the_classifier_is_caught() -> None:
    class Changes:
        differentiable = True
        stochastic = False

        def protect(self, model: nn.Module, task: Task) -> nn.Module:
            for parameter in model.parameters():
                parameter.mul_(0.9)
            return model

    assert "it changed weights (the classifier.1.weight" in problems(check_defense(Changes()))


def test_a_defense_may_be_any_module() -> None:
    class Wraps:
        differentiable = True
        stochastic = False

        def protect(self, model: nn.Module, task: Task) -> nn.Module:
            return nn.Sequential(nn.AvgPool2d(3, 1, padding=1), model)

    assert problems(check_defense(Wraps())) == ""
    assert not isinstance(Wraps().protect(nn.Identity(), None), Protected)  # type: ignore[arg-type]  # not used
