"""Foolbox as a reference, and foolbox attacks on the harness's terms."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from foolbox.attacks.basic_iterative_method import LinfBasicIterativeAttack
from foolbox.attacks.carlini_wagner import L2CarliniWagnerAttack
from foolbox.attacks.ddn import DDNAttack
from foolbox.attacks.deepfool import L2DeepFoolAttack, LinfDeepFoolAttack
from foolbox.attacks.fast_gradient_method import LinfFastGradientAttack
from foolbox.attacks.gradient_descent_base import L1BaseGradientDescent
from foolbox.attacks.mi_fgsm import LinfMomentumIterativeFastGradientMethod
from foolbox.attacks.projected_gradient_descent import LinfProjectedGradientDescentAttack
from foolbox.criteria import Misclassification, TargetedMisclassification
from foolbox.models.pytorch import PyTorchModel
from torch import Tensor, nn

from superdef_bench import (
    AttackContext,
    ConfigError,
    InputTransform,
    Protected,
    Random,
    Threat,
    load_attack,
)
from superdef_bench.core.threats import Norm
from superdef_bench.core.types import distance
from superdef_bench.testing import toy_images, toy_model
from tests.support.commands import CONFIG, Answer
from tests.support.plugin_files import plugin_module

EPS, STEPS = 0.02, 4
run_foolbox = plugin_module("attacks.foolbox.bridge").run_foolbox


class PaperMomentum(LinfMomentumIterativeFastGradientMethod):
    """Foolbox accumulates signs; the paper accumulates gradients of L1 norm 1."""

    normalize = L1BaseGradientDescent.normalize


def task(count: int = 16) -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    x, ids = toy_images(count)
    model = toy_model()
    return model, x, model(x).argmax(dim=1), ids


def ours(
    name: str,
    norm: Norm,
    eps: float | None,
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    arguments: dict[str, Any] | None = None,
    **settings: Any,
) -> Tensor:
    ids = torch.arange(len(x))
    context = AttackContext.start(ids, Random(0, "test", ids), goal="strength", **settings)
    return load_attack(name, **(arguments or {}))(model, x, y, Threat(norm, eps), context)


def theirs(attack: Any, model: nn.Module, x: Tensor, criterion: Any, **settings: Any) -> Tensor:
    wrapped = PyTorchModel(model, bounds=(0, 1), device="cpu")
    found: Tensor = attack.run(wrapped, x, criterion, **settings)
    return found


def _basic(steps: int) -> Any:
    return LinfBasicIterativeAttack(abs_stepsize=EPS / STEPS, steps=steps)


def _projected(steps: int) -> Any:
    return LinfProjectedGradientDescentAttack(
        abs_stepsize=0.4 * EPS, steps=steps, random_start=False
    )


def _momentum(steps: int) -> Any:
    return PaperMomentum(abs_stepsize=EPS / STEPS, steps=steps)


@pytest.mark.parametrize(
    ("name", "arguments", "reference", "steps"),
    [
        ("fgsm", {}, lambda steps: LinfFastGradientAttack(), 1),
        (
            "pgd",
            {"relative_step": 1 / STEPS, "random_starts": False, "steps": STEPS},
            _basic,
            STEPS,
        ),
        ("pgd", {"relative_step": 0.4, "random_starts": False, "steps": STEPS}, _projected, STEPS),
        ("mi_fgsm", {"steps": STEPS}, _momentum, STEPS),
        ("mi_fgsm", {"steps": STEPS, "decay": 0.0}, _basic, STEPS),
    ],
)
def test_gradient_sign_attacks_are_those_of_foolbox(
    name: str, arguments: dict[str, Any], reference: Callable[[int], Any], steps: int
) -> None:
    model, x, y, _ = task()
    iterates = [
        theirs(reference(count), model, x, Misclassification(y), epsilon=EPS)
        for count in range(1, steps + 1)
    ]
    loss = torch.stack(
        [nn.functional.cross_entropy(model(i), y, reduction="none") for i in iterates]
    )
    # Ours returns the best iterate, foolbox the last: they agree where the last is the best.
    rising = (loss.diff(dim=0) > 0).all(dim=0)
    assert int(rising.sum()) >= 12
    found = ours(name, "linf", EPS, model, x, y, arguments=arguments)
    torch.testing.assert_close(found[rising], iterates[-1][rising], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "arguments", "attack", "norm"),
    [
        ("deepfool", {}, LinfDeepFoolAttack(overshoot=0.01), "linf"),
        ("deepfool", {}, L2DeepFoolAttack(overshoot=0.01), "l2"),
        ("ddn", {"steps": 30}, DDNAttack(steps=30), "l2"),
        (
            "cw",
            {"steps": 20, "binary_search_steps": 3, "confidence": 0.1},
            L2CarliniWagnerAttack(
                steps=20,
                binary_search_steps=3,
                stepsize=0.005,
                initial_const=0.1,
                confidence=0.1,
                abort_early=False,
            ),
            "l2",
        ),
    ],
)
def test_the_adapter_gives_what_foolbox_gives(
    name: str, arguments: dict[str, Any], attack: Any, norm: Norm
) -> None:
    model, x, y, _ = task(6)
    found = ours(name, norm, None, model, x, y, arguments=arguments)
    expected = theirs(attack, model, x, Misclassification(y))
    assert not torch.equal(found, x)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    if name in ("ddn", "cw"):
        target = (y + 1) % 10
        found = ours(name, norm, None, model, x, y, arguments=arguments, target=target)
        expected = theirs(attack, model, x, TargetedMisclassification(target))
        assert bool((model(found).argmax(dim=1) == target).all())
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_what_foolbox_cannot_do_is_refused_by_name() -> None:
    model, x, y, _ = task(2)
    for name in ("deepfool", "newtonfool"):
        with pytest.raises(ConfigError, match=f"{name}.*aim at a label"):
            ours(name, "l2", None, model, x, y, target=(y + 1) % 10)
    for name in ("deepfool", "newtonfool", "ddn", "cw"):
        with pytest.raises(ConfigError, match=name) as error:
            ours(name, "l2", None, model, x, y, topk=3)
        assert error.value.hint


class Grain(InputTransform):
    """Noise of its own for every image and draw."""

    stochastic = True

    def transform(self, x: Tensor, *, random: Random) -> Tensor:
        return (x + 0.02 * random.normal(*x.shape[1:])).clamp(0, 1)


@pytest.mark.parametrize("name", ["ddn", "deepfool"])
def test_draws_of_a_stochastic_defense_belong_to_the_image(name: str) -> None:
    model, x, y, ids = task(4)

    def run(rows: slice, eot: int = 3) -> Tensor:
        seen = Protected([Grain()], model).eval()
        context = AttackContext.start(ids[rows], Random(0, "test", ids[rows]), eot=eot)
        attack = load_attack(name, steps=5)
        return attack(seen, x[rows], y[rows], Threat("l2", None), context)

    together = run(slice(None))
    alone = torch.cat([run(slice(i, i + 1)) for i in range(4)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)
    assert not torch.allclose(together, run(slice(None), eot=1), atol=1e-4)


class Probe:
    """Stands for a foolbox attack: notes the logits it is shown, and returns what it was given."""

    def __init__(self, answer: Tensor) -> None:
        self.answer, self.logits = answer, torch.empty(0)

    def run(self, model: Any, x: Tensor, criterion: object) -> Tensor:
        self.logits = model(x)
        return self.answer


def test_foolbox_sees_the_mean_over_draws() -> None:
    model, x, y, ids = task(3)
    context = AttackContext.start(ids, Random(0, "test", ids), eot=4)
    probe, seen = Probe(x), Protected([Grain()], model).eval()
    run_foolbox("probe", probe, seen.view("exact"), x, y, context, targeted=False)
    with torch.no_grad(), (view := seen.view("exact")).draws(ids, 4, "attack"):
        draws = view(x)
    assert draws.shape == (4, 3, 10)
    torch.testing.assert_close(probe.logits, draws.mean(dim=0))


def test_what_foolbox_returns_is_brought_into_the_contract() -> None:
    model, x, y, ids = task(3)
    context = AttackContext.start(ids, Random(0, "test", ids))
    answer = x + torch.tensor([0.5, torch.nan, -0.5]).view(-1, 1, 1, 1)
    found = run_foolbox("probe", Probe(answer), model, x, y, context, targeted=False)
    assert torch.equal(found[1], x[1])
    torch.testing.assert_close(found[[0, 2]], answer[[0, 2]].clamp(0, 1))


class Broken(nn.Module):
    """Gives NaN for dark images."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = toy_model()

    def forward(self, x: Tensor) -> Tensor:
        dark = x.mean(dim=(1, 2, 3)) < 0.1
        return torch.where(dark[:, None], torch.nan, self.inner(x))


@pytest.mark.parametrize("name", ["deepfool", "ddn", "cw", "newtonfool", "hopskipjump"])
def test_an_image_without_a_number_stays_and_harms_no_other(name: str) -> None:
    _, x, y, _ = task(4)
    dark = x.clone()
    dark[1] = 0.01 * x[1]
    arguments = {"queries": 400} if name == "hopskipjump" else {"steps": 20}
    found = ours(name, "l2", None, Broken(), dark, y, arguments=arguments)
    others = torch.tensor([0, 2, 3])
    assert bool(torch.isfinite(found).all())
    assert float(distance(dark, found, "l2")[1]) < 1
    assert bool((toy_model()(found[others]).argmax(dim=1) != y[others]).all())


class Stubborn(nn.Module):
    """Says class 0 of everything, a little more of bright images."""

    def forward(self, x: Tensor) -> Tensor:
        bright = x.mean(dim=(1, 2, 3))
        return torch.stack([bright + 5, bright * 0, -bright], dim=1)


@pytest.mark.parametrize("name", ["cw", "ddn", "hopskipjump"])
def test_an_image_that_cannot_be_fooled_stays_clean(name: str) -> None:
    x, _ = toy_images(3)
    y = torch.zeros(3, dtype=torch.int64)
    found = ours(name, "l2", None, Stubborn().eval(), x, y)
    torch.testing.assert_close(found, x, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["cw", "ddn", "newtonfool"])
def test_an_l2_attack_in_a_linf_benchmark_says_what_to_write(
    name: str, run_cli: Callable[..., Answer], config: Callable[..., Path]
) -> None:
    for given in ("{}", '{ norm = "l2" }'):
        answer = run_cli("run", config(CONFIG.replace("fgsm = {}", f"{name} = {given}")))
        assert answer.code == 2
        error, hint = answer.err.strip().splitlines()
        assert error.startswith("error: ")
        assert name in error
        assert hint.startswith("hint: ")
        assert '{ norm = "l2", eps = "0.5" }' in hint
    whole = CONFIG.replace("fgsm = {}", f'{name} = {{ norm = "l2", eps = "0.5" }}')
    assert run_cli("run", config(whole), "--plan").code == 0
