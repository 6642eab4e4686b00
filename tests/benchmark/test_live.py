"""Live objects: what tells them apart in keys, and that their networks come back."""

import types
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from superdef_bench.benchmark.choices import written
from superdef_bench.benchmark.identity import identity, networks_in, state_hash
from superdef_bench.benchmark.unharmed import unharmed
from superdef_bench.core.errors import ConfigError
from superdef_bench.core.threats import parse_eps
from tests.support.live import Dim, Tiny

STRENGTH = 0.5


@dataclass(slots=True)
class Settings:
    strength: float


class Holds:
    """A defense without a state dict, that holds things of all kinds."""

    def __init__(self) -> None:
        self.number, self.listed, self.settings = 0.5, [1, {"a": 2}], Settings(0.5)
        self.tensor, self.network = torch.ones(2), Tiny()
        self.function: Callable[[float], float] = lambda x: x * self.number

    def protect(self, model: nn.Module, task: object) -> nn.Module:
        return model if self.scaled(1.0) else self.network

    def scaled(self, x: float) -> float:
        return x * STRENGTH


SETTINGS: Any = None


class Reads(nn.Module):
    """A network whose code has an ellipsis, and reads a number of another module."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.places = np.float32(2), slice(0, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[..., self.places] * SETTINGS.SIGMA


def _set_global(value: float) -> None:
    globals()["STRENGTH"] = value


def _replace_code(held: Holds) -> None:
    held.scaled = types.MethodType(lambda self, x: x + 1, held)  # type: ignore[method-assign]  # as a notebook does


CHANGES: dict[str, Callable[[Holds], Any]] = {
    "a number": lambda held: setattr(held, "number", 0.25),
    "deep in a list": lambda held: held.listed[1].update(a=3),  # type: ignore[attr-defined]  # it is a dict
    "a slot": lambda held: setattr(held.settings, "strength", 0.25),
    "a tensor": lambda held: held.tensor.mul_(2),
    "a weight": lambda held: held.network.last.bias.data.add_(1),
    "a statistic": lambda held: held.network.norm.running_mean.add_(1),  # type: ignore[union-attr]  # it has one
    "a function": lambda held: setattr(held, "function", lambda x: x),
    "a default": lambda held: setattr(held, "function", lambda x, y=2: x * held.number),
    "a method": _replace_code,
    "a global that its code names": lambda held: _set_global(0.25),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_what_an_object_holds_is_seen(change: str) -> None:
    held = Holds()
    before = identity(held)
    assert identity(held) == before
    CHANGES[change](held)
    try:
        assert identity(held)["holds"] != before["holds"]
        assert identity(held)["object"] == before["object"]
    finally:
        _set_global(0.5)


def test_what_is_read_through_a_module_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = types.ModuleType("settings")
    vars(settings).update(SIGMA=1.0, other=1)
    monkeypatch.setitem(globals(), "SETTINGS", settings)
    held = Reads()
    before = identity(held)
    assert identity(held) == before
    vars(settings)["other"] = 2  # its code does not name it
    assert identity(held) == before
    vars(settings)["SIGMA"] = 2.0
    assert identity(held) != before


def test_code_that_is_replaced_in_place_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Holds()
    before = identity(held)
    monkeypatch.setattr(Holds, "scaled", lambda self, x: x - 1)
    assert identity(held)["holds"] != before["holds"]


def test_two_objects_are_never_one() -> None:
    first, second = Dim(), Dim()
    assert identity(first)["holds"] == identity(second)["holds"]
    assert identity(first) != identity(second)
    assert state_hash(Tiny()) == state_hash(Tiny())
    assert state_hash(Dim()) == state_hash(Holds()) == ""


def test_a_mode_is_no_difference() -> None:
    model = Tiny()
    before = identity(model.train())
    assert identity(model.eval().requires_grad_(False)) == before


def test_what_holds_itself_has_an_end() -> None:
    held = Holds()
    held.listed.append(held)
    assert identity(held) == identity(held)
    assert len(list(networks_in(held))) == len(list(Tiny().modules()))


def test_networks_that_an_object_holds_come_back_from_where_they_were_moved() -> None:
    held = Holds()
    model = held.network.train()
    model.first.weight.grad = torch.ones_like(model.first.weight)
    parameters, buffers = dict(model.named_parameters()), dict(model.named_buffers())
    places = [tensor.data_ptr() for tensor in (*parameters.values(), *buffers.values())]
    with suppress(KeyboardInterrupt), unharmed([held]):
        model.eval().requires_grad_(False).to(torch.float64)
        raise KeyboardInterrupt
    now = (*model.parameters(), *model.buffers())
    assert [tensor.data_ptr() for tensor in now] == places
    assert all(now is before for now, before in zip(model.buffers(), buffers.values(), strict=True))
    assert all(p.requires_grad and p.dtype == torch.float32 for p in model.parameters())
    assert model.training
    assert model.norm.training
    assert model.first.weight.grad is not None
    assert model.first.weight.grad.dtype == torch.float32


@pytest.mark.parametrize("eps", [float("nan"), float("inf")])
def test_a_radius_without_a_size_is_refused_where_it_is_read(eps: float) -> None:
    with pytest.raises(ConfigError, match="is no number"):
        parse_eps(written(eps))


@pytest.mark.parametrize(
    ("eps", "text"),
    [
        *((levels / 255, f"{levels}/255") for levels in (1, 2, 8, 16)),
        *((0.03, "0.03"), (0.5, "0.5"), (1.0, "1.0"), (1e-7, "0.0000001"), (0.031372, "0.031372")),
    ],
)
def test_a_number_is_written_as_the_field_writes_radii(eps: float, text: str) -> None:
    assert written(eps) == text
    assert parse_eps(text) == pytest.approx(eps, abs=1e-12)
