"""Attacks of other libraries by their names: what they give, where they run, what they refuse."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import foolbox.attacks
import pytest
import torch
from foolbox.attacks.blended_noise import LinearSearchBlendedUniformNoiseAttack
from foolbox.attacks.boundary_attack import BoundaryAttack
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
from superdef_bench.core.loader import load_plugins
from superdef_bench.core.threats import Norm
from superdef_bench.core.transform import ScoresOnly
from superdef_bench.engine import Seen
from superdef_bench.testing import toy_images, toy_model
from tests.support.commands import Answer, records
from tests.support.fake_torchattacks import write_fake

pytestmark = pytest.mark.ci

EPS: dict[Norm, float] = {"linf": 8 / 255, "l2": 0.5}


def forget() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torchattacks"]:
        del sys.modules[name]


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put a small package of the library's name on the path."""
    forget()
    monkeypatch.syspath_prepend(write_fake(tmp_path / "site"))
    yield
    forget()


def task(count: int = 6) -> tuple[nn.Module, Tensor, Tensor, AttackContext]:
    x, ids = toy_images(count)
    model = toy_model()
    return model, x, model(x).argmax(dim=1), AttackContext.start(ids, Random(0, "test", ids))


def ours(name: str, norm: Norm, **arguments: Any) -> Tensor:
    model, x, y, context = task()
    attack = load_attack(name, **arguments)
    eps = EPS[norm] if attack.kind == "budget" else None
    torch.manual_seed(5)
    return attack(model, x, y, Threat(norm, eps), context)


def theirs(attack: Any, eps: float | None) -> Tensor:
    model, x, y, _ = task()
    torch.manual_seed(5)
    _, clipped, _ = attack(PyTorchModel(model, bounds=(0, 1), device="cpu"), x, y, epsilons=eps)
    found: Tensor = clipped
    return found


@pytest.mark.parametrize(
    ("name", "norm", "arguments", "eps"),
    [
        ("LinfPGD", "linf", {"steps": 5}, EPS["linf"]),
        ("PGD", "linf", {"steps": 3, "abs_stepsize": 0.01}, EPS["linf"]),
        ("L2BasicIterativeAttack", "l2", {"steps": 5}, EPS["l2"]),
        ("LinfRepeatedAdditiveUniformNoiseAttack", "linf", {"repeats": 3}, EPS["linf"]),
        ("LInfFMNAttack", "linf", {"steps": 10}, None),
    ],
)
def test_an_attack_of_foolbox_gives_what_foolbox_gives(
    name: str, norm: Norm, arguments: dict[str, Any], eps: float | None
) -> None:
    found = ours(f"foolbox:{name}", norm, **arguments)
    assert not torch.equal(found, task()[1]) or "Repeated" in name
    assert torch.equal(found, theirs(getattr(foolbox.attacks, name)(**arguments), eps))


def test_a_decision_based_attack_gives_what_foolbox_gives() -> None:
    import numpy as np

    np.random.seed(0)
    expected = theirs(BoundaryAttack(steps=20), None)
    np.random.seed(0)
    assert torch.equal(ours("foolbox:BoundaryAttack", "l2", steps=20), expected)


def test_a_foreign_attack_is_told_the_norm_of_the_threat() -> None:
    from foolbox.distances import linf

    attack = LinearSearchBlendedUniformNoiseAttack(distance=linf, directions=10)
    found = ours("foolbox:LinearSearchBlendedUniformNoiseAttack", "linf", directions=10)
    assert torch.equal(found, theirs(attack, None))


@pytest.mark.parametrize(
    ("name", "norms", "kind", "access"),
    [
        ("LinfPGD", {"linf"}, "budget", "gradient"),
        ("L2FMNAttack", {"l2"}, "minimal", "gradient"),
        ("HopSkipJumpAttack", {"linf", "l2"}, "minimal", "labels"),
        ("BoundaryAttack", {"l2"}, "minimal", "labels"),
        ("L2RepeatedAdditiveGaussianNoiseAttack", {"l2"}, "budget", "labels"),
        ("LinfAdditiveUniformNoiseAttack", {"linf"}, "budget", "none"),
        ("GaussianBlurAttack", {"linf", "l2"}, "minimal", "labels"),
    ],
)
def test_an_attack_says_where_it_belongs(
    name: str, norms: set[str], kind: str, access: str
) -> None:
    attack = load_attack(f"foolbox:{name}")
    assert attack.norms == norms
    assert (attack.kind, attack.access) == (kind, access)


@pytest.mark.parametrize(
    ("name", "arguments", "message", "hint"),
    [
        ("foolbox:LinfPDG", {}, "unknown attack of foolbox 'LinfPDG'", "did you mean 'LinfPGD'"),
        ("foolbox:LinfPGD", {"step": 5}, "takes no argument 'step'", "did you mean 'steps'"),
        ("foolbox:LinfPGD", {"eps": 0.1}, "takes no argument 'eps'", "eps of the row, or of"),
        ("foolbox:LinfPGD", {"steps": "5"}, "'steps' of attack", "a whole number"),
        ("foolbox:BoundaryAttack", {"init_attack": "x"}, "no argument 'init_attack'", "objects"),
        ("foolbox:VirtualAdversarialAttack", {}, "needs the argument 'steps'", ""),
        ("foolbox:L1PGD", {}, "it measures l1, the benchmark linf and l2", ""),
        ("foolbox:GenAttack", {}, "it needs a label to aim at", ""),
        ("foolbox:", {}, "unknown attack 'foolbox:'", "behind it, foolbox:NAME"),
        ("torchattacks:PDG", {}, "unknown attack of torchattacks 'PDG'", "did you mean 'PGD'"),
        ("torchattacks:PGDL2", {}, "unknown attack of torchattacks 'PGDL2'", "did you mean 'PGD'"),
        ("torchattacks:PGD", {"step": 5}, "takes no argument 'step'", "did you mean 'steps'"),
        ("torchattacks:PGD", {"eps": 0.1}, "takes no argument 'eps'", "eps of the row, or of"),
        ("torchattacks:PGD", {"alpha": "2/255"}, "'alpha' of attack", "it takes a number"),
        ("torchattacks:Square", {"norm": "L2"}, "takes no argument 'norm'", "norm of the row"),
        ("torchattacks:Square", {"seed": 1}, "takes no argument 'seed'", "seed of [run]"),
        ("torchattacks:OnePixel", {}, "it counts pixels", ""),
    ],
)
@pytest.mark.usefixtures("library")
def test_what_a_library_has_not_is_refused_in_one_line(
    name: str, arguments: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as error:
        load_attack(name, **arguments)
    assert message in error.value.message
    assert hint in error.value.hint
    assert "\n" not in error.value.message + error.value.hint


def test_without_the_library_a_row_says_how_to_get_it(
    run_cli: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchattacks", None)
    answer = run_cli("run", "quickstart", "-a", "torchattacks:PGD")
    assert answer.code == 2
    assert "'torchattacks:PGD' needs torchattacks, which is not installed\n" in answer.err
    assert "hint: pip install --no-deps --target DIR torchattacks;" in answer.err


FOREIGN = """
[run]
dataset = "signs"
model = "signs_resnet8"
limit = 2
batch_size = 2
masking = 0
rungs = ["gray_box", "black_box", "bpda"]

[threat]
eps = "8/255"

[attacks]
"foolbox:LinfPGD" = { steps = 3 }
pgd_ta = { plugin = "torchattacks:PGD", steps = 3 }
"torchattacks:Square" = { n_queries = 2 }
"foolbox:SaltAndPepperNoiseAttack" = { norm = "l2", eps = "0.5", steps = 5 }
"torchattacks:FGSM" = {}

[defenses]
bit_depth = {}
"""


@pytest.mark.usefixtures("library")
def test_foreign_attacks_are_rows_like_all_others(
    run_cli: Callable[..., Answer], config: Callable[..., Path], tmp_path: Path
) -> None:
    answer = run_cli("run", config(FOREIGN), "-o", "out")
    assert answer.code == 1, "the one that leaves the ball fails, and no other"
    assert "attack 'torchattacks:FGSM' left the linf ball: distance 0.047" in answer.err
    rungs: dict[str, set[str]] = {}
    for row in records(tmp_path / "out"):
        if row["attack"] != "none":
            rungs.setdefault(row["attack"], set()).add(row["rung"])
    assert rungs == {
        "foolbox:LinfPGD": {"gray_box", "bpda"},
        "pgd_ta": {"gray_box", "bpda"},
        "torchattacks:Square": {"gray_box", "black_box"},
        "foolbox:SaltAndPepperNoiseAttack": {"gray_box", "black_box"},
    }
    page = (tmp_path / "out/tiny.md").read_text()
    assert "- foolbox:LinfPGD is batch-dependent" in page
    shown = run_cli("show", "out", "signs/test/00000", "-a", "foolbox:LinfPGD")
    assert shown.code == 0, shown.err
    kept = run_cli("examples", "out", "foolbox:LinfPGD", "-o", "kept.safetensors")
    assert '"foolbox:LinfPGD_examples" = { plugin = "replay"' in kept.out + kept.err


def test_another_norm_is_refused_with_a_row_that_toml_can_read(
    run_cli: Callable[..., Answer],
) -> None:
    answer = run_cli("run", "quickstart", "-a", "foolbox:L2PGD")
    assert answer.code == 2
    assert 'a ball of its own: "foolbox:L2PGD" = { norm = "l2", eps = "0.5" }' in answer.err


@pytest.mark.usefixtures("library")
def test_check_takes_one_of_a_family(run_cli: Callable[..., Answer]) -> None:
    answer = run_cli("check", "foolbox:LinfPGD", "attack:torchattacks:PGD", "torchattacks:FGSM")
    assert answer.code == 1
    assert "ok       attack:foolbox:LinfPGD" in answer.out
    assert "ok       attack:torchattacks:PGD" in answer.out
    assert "broken   attack:torchattacks:FGSM" in answer.out


class Grain(InputTransform):
    """Noise of its own for every image and draw."""

    stochastic = True

    def transform(self, x: Tensor, *, random: Random) -> Tensor:
        return (x + 0.02 * random.normal(*x.shape[1:])).clamp(0, 1)


def test_a_library_sees_the_mean_over_draws_of_any_batch() -> None:
    model, x, _, _ = task()
    ids = torch.arange(6)
    context = AttackContext.start(ids, Random(0, "test", ids), eot=3)
    protected = Protected([Grain()], model).eval()
    seen = Seen(protected.view("exact"), context, x.device)
    again = protected.view("exact")
    expected = (again(x[:2]) + again(x[:2]) + again(x[:2])) / 3
    torch.testing.assert_close(seen(x[:2]), expected)
    assert next(seen.parameters()).device == x.device
    # Behind answers alone there is one draw per question, and still a place to ask for.
    answers = Seen(ScoresOnly(protected.view("exact")), context, x.device)
    assert torch.equal(answers(x[:2]), protected.view("exact")(x[:2]))
    assert next(answers.parameters()).device == x.device


PARITY = [
    ("PGD", "linf", {"steps": 5}),
    ("APGD", "linf", {"steps": 5}),
    ("PGDL2", "l2", {"steps": 5}),
    ("APGDT", "l2", {"steps": 5}),
    ("PIFGSM", "linf", {}),
    ("CW", "l2", {"steps": 20}),
    ("DeepFool", "l2", {"steps": 5}),
    ("Square", "linf", {"n_queries": 50}),
]


@pytest.fixture
def installed(real_library: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put torchattacks itself on the path."""
    forget()
    monkeypatch.syspath_prepend(real_library)
    yield
    forget()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "norm", "arguments"), PARITY)
@pytest.mark.usefixtures("installed")
def test_an_attack_of_torchattacks_gives_what_torchattacks_gives(
    name: str, norm: Norm, arguments: dict[str, Any]
) -> None:
    import torchattacks

    model, x, y, _ = task()
    kind = getattr(torchattacks, name)
    found = ours(f"torchattacks:{name}", norm, **arguments)
    takes = kind.__init__.__code__.co_varnames
    told = {"eps": EPS[norm], "max_epsilon": EPS[norm], "norm": norm.capitalize(), "seed": 5}
    told = {key: value for key, value in told.items() if key in takes}
    torch.manual_seed(5)
    expected = kind(model, **told, **arguments)(x, y)
    assert torch.equal(found, expected)


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_every_attack_of_torchattacks_is_offered_or_refused_with_a_reason() -> None:
    import torchattacks

    registry = load_plugins()
    measured = {"Linf": {"linf"}, "L2": {"l2"}, "Linf, L2": {"linf", "l2"}}
    for name in torchattacks.__all__:
        said = (getattr(torchattacks, name).__doc__ or "").partition("Distance Measure : ")[2]
        said = said.split("\n")[0].replace("L1 and L2", "L2").removesuffix(", L1").strip()
        if said in measured:
            attack = registry.get("attack", f"torchattacks:{name}").build()
            assert attack.norms == measured[said], name
        else:
            with pytest.raises(ConfigError, match="has no place here: "):
                registry.get("attack", f"torchattacks:{name}")


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_torchattacks_runs_from_the_command_line(
    run_cli: Callable[..., Answer], config: Callable[..., Path]
) -> None:
    text = FOREIGN.replace('"torchattacks:FGSM" = {}', '"torchattacks:AutoAttack" = {}')
    answer = run_cli("run", config(text), "-o", "out")
    assert answer.code == 0, answer.err
    results = json.loads(Path("out/results.json").read_text())
    assert "torchattacks" in results["provenance"]["versions"]
