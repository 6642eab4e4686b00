"""What `check` tells of a defense beside its contract: mistakes that keep the contract show."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from superdef_bench.analysis.defense_facts import facts
from superdef_bench.core.loader import load_plugins
from tests.support.commands import Answer

MISTAKES = '''
import torch
from torch import nn
from superdef_bench import InputTransform, hookimpl


class Before(nn.Module):
    def __init__(self, change, model):
        super().__init__()
        self.change, self.model = change, model

    def forward(self, x):
        return self.model(self.change(x))


class Levels:
    """Hands on images in 0..255."""
    differentiable, stochastic = True, False
    def protect(self, model, task):
        return Before(lambda x: 255 * x, model)


class Normalised:
    """Subtracts a mean and divides by a deviation, which the classifier does itself."""
    differentiable, stochastic = True, False
    def protect(self, model, task):
        return Before(lambda x: (x - 0.45) / 0.22, model)


class Dim(InputTransform):
    """Divides by 255 what is in [0, 1] already."""
    def transform(self, x):
        return x / 255


class Stark(InputTransform):
    """Stretches the contrast far beyond the range, and clamps."""
    def transform(self, x):
        return (5 * (x - x.mean(dim=(1, 2, 3), keepdim=True)) + 0.5).clamp(0, 1)


class Detached:
    """Hides its gradient in a wrapper."""
    differentiable, stochastic = True, False
    def protect(self, model, task):
        return Before(lambda x: 0.2 * x + 0.8 * x.detach(), model)


class Unseen(InputTransform):
    """Takes the statistics of the batch where it has several images of signs."""
    def transform(self, x):
        return (x - 0.2 * (x.mean() - 0.5)).clamp(0, 1) if len(x) > 6 else x


class Rigid(InputTransform):
    """Keeps a tensor where a GPU does not find it."""
    def __init__(self):
        super().__init__()
        self.gain = torch.tensor(0.98)

    def transform(self, x):
        return self.gain * x


class Honest(InputTransform):
    """A little darker."""
    def transform(self, x):
        return 0.97 * x


@hookimpl
def register_defenses():
    return {c.__name__.lower(): c for c in
            (Levels, Normalised, Dim, Stark, Detached, Unseen, Rigid, Honest)}
'''


@pytest.mark.parametrize(
    ("name", "marked"),
    [
        ("levels", {"classifier gets", "against the input", "clean accuracy"}),
        ("normalised", {"classifier gets", "against the input"}),
        ("dim", {"against the input", "clean accuracy"}),
        ("stark", {"against the input", "pixels at 0 or 1"}),
        ("detached", {"its slope"}),
        ("unseen", {"alone and in a batch"}),
        ("rigid", {"plain tensors"}),
        ("honest", set()),
    ],
)
def test_a_mistake_is_marked_and_nothing_else(
    plugin_folder: Callable[..., Path], name: str, marked: set[str]
) -> None:
    registry = load_plugins([plugin_folder(MISTAKES)])
    found = list(facts(registry.get("defense", name), registry))
    hints = {fact.name for fact in found if fact.hint}
    # How much clean accuracy a wrong scale costs is the classifier's business.
    assert marked <= hints <= marked | {"clean accuracy", "pixels at 0 or 1"}
    if name == "honest":
        assert not hints
        told = {fact.name: fact.value for fact in found}
        assert told["the same again"] == "bit for bit"
        assert told["against the input"].startswith("brightness -0.0")
        assert "on 48 images" in told["clean accuracy"]
        assert float(told["memory per image"].split()[0]) > 0.05


def test_named_defenses_are_reported_in_80_columns_and_as_json(
    run_cli: Callable[..., Answer], plugin_folder: Callable[..., Path]
) -> None:
    folder = plugin_folder(MISTAKES)
    answer = run_cli("check", "dim", "--plugins-dir", folder)
    assert answer.code == 0  # the contract holds: a fact is no verdict
    assert answer.out.startswith("ok       defense:dim  8 checks")
    assert "scaled? the" in " ".join(answer.out.split())
    assert max(map(len, answer.out.splitlines())) <= 80
    (told,) = json.loads(run_cli("check", "dim", "--json", "--plugins-dir", folder).out)
    assert told["plugin"] == "defense:dim"
    assert not any(check["problem"] for check in told["checks"])
    assert {"clean accuracy", "memory per image"} <= {fact["name"] for fact in told["facts"]}
    assert len(run_cli("check", "dim", "--brief", "--plugins-dir", folder).out.splitlines()) == 1


def test_a_defense_that_breaks_on_real_images_alone_says_how(
    run_cli: Callable[..., Answer], plugin_folder: Callable[..., Path]
) -> None:
    folder = plugin_folder(
        """
from superdef_bench import InputTransform, hookimpl
class Narrow(InputTransform):
    def transform(self, x):
        assert len(x) < 10, "too many at once"
        return x
@hookimpl
def register_defenses():
    return {"narrow": Narrow}
"""
    )
    answer = run_cli("check", "narrow", "--plugins-dir", folder)
    assert answer.code == 0, answer.err
    assert "ok" in answer.out
    assert "too many at once" in " ".join(answer.out.split())


def test_a_defense_that_cannot_protect_the_signs_says_why(
    run_cli: Callable[..., Answer], plugin_folder: Callable[..., Path]
) -> None:
    folder = plugin_folder(
        """
from superdef_bench import ConfigError, InputTransform, hookimpl
class Picky(InputTransform):
    def transform(self, x):
        return x
    def protect(self, model, task):
        if task.dataset == "signs":
            raise ConfigError("it knows no signs", hint="take cars")
        return super().protect(model, task)
@hookimpl
def register_defenses():
    return {"picky": Picky}
"""
    )
    answer = run_cli("check", "picky", "--plugins-dir", folder)
    assert answer.code == 0
    assert "not tried on signs: it knows no signs hint: take cars" in answer.out


AUTHOR = """
import torch
from superdef_bench import InputTransform, hookimpl
class Mine(InputTransform):
    {body}
@hookimpl
def register_defenses():
    return {{"mine": Mine{brackets}}}
"""


@pytest.mark.parametrize(
    ("body", "remedy"),
    [
        (
            "def transform(self, x): return torch.from_numpy(x.numpy() * 0.9)",
            "(it leaves torch: set differentiable = False",
        ),
        (
            "stochastic = True\n    def transform(self, x): return x",
            "(it is stochastic: write transform(self, x, *, random))",
        ),
        ("def transform(self, x, *, random): return x", "(set stochastic = True)"),
        ("def transform(self, x): return x.double()", "(return float32, as it came)"),
    ],
)
def test_first_mistakes_have_a_remedy(
    run_cli: Callable[..., Answer], plugin_folder: Callable[..., Path], body: str, remedy: str
) -> None:
    folder = plugin_folder(AUTHOR.format(body=body, brackets=""))
    answer = run_cli("check", "mine", "--plugins-dir", folder)
    assert answer.code == 1
    assert remedy in " ".join(answer.out.split())


def test_an_object_in_place_of_its_class_is_named(
    run_cli: Callable[..., Answer], plugin_folder: Callable[..., Path]
) -> None:
    folder = plugin_folder(AUTHOR.format(body="def transform(self, x): return x", brackets="()"))
    answer = run_cli("check", "mine", "--plugins-dir", folder)
    assert (answer.code, answer.out) == (2, "")
    assert "'mine' is a Mine that is built already" in answer.err
    assert 'hint: write {"mine": Mine}, without brackets' in answer.err
