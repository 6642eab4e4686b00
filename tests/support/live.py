"""A classifier, defenses and an attack that a caller made, and a few images; also as plugins."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from superdef_bench import InputTransform, hookimpl
from superdef_bench.core.threats import Access, AttackKind

SOURCE = Path(__file__)


class Tiny(nn.Module):
    """Four classes, by convolution and normalisation."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 4)
        self.norm = nn.BatchNorm2d(8)
        with torch.no_grad():
            for parameter in (*self.first.parameters(), *self.last.parameters()):
                parameter.copy_(torch.randn(parameter.shape, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.last(self.norm(self.first(x)).relu().amax(dim=(2, 3)))
        return answer


class Dim(InputTransform):
    """Less light: its strength is a plain number, and no part of a state dict."""

    def __init__(self, strength: float = 0.5) -> None:
        super().__init__()
        self.strength = strength

    def transform(self, x: Tensor) -> Tensor:
        return x * self.strength


class Push:
    """One step along the sign of the gradient."""

    norms, kind, access = frozenset({"linf"}), AttackKind.BUDGET, Access.GRADIENT
    batch_dependent = False

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Any, context: Any) -> Tensor:
        start = x.clone().requires_grad_()
        loss = nn.functional.cross_entropy(model(start), y, reduction="sum")
        (slope,) = torch.autograd.grad(loss, start)
        return (x + threat.eps * slope.sign()).clamp(0, 1)


def images(count: int = 8) -> tuple[Tensor, Tensor]:
    """Return images and the labels that `Tiny` gives them."""
    x = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return x, Tiny().eval()(x).argmax(dim=1)


class Few:
    """The same images as a dataset."""

    name, split, num_classes, class_names, sha256 = "few", "test", 4, list("0123"), "0" * 64
    ids = tuple(f"few/{number}" for number in range(8))

    def load(self, indices: Any) -> tuple[Tensor, Tensor]:
        x, y = images()
        return x[list(indices)], y[list(indices)]


@hookimpl
def register_models() -> dict[str, Any]:
    return {"tiny": Tiny}


@hookimpl
def register_datasets() -> dict[str, Any]:
    return {"few": Few}


@hookimpl
def register_defenses() -> dict[str, Any]:
    return {"dim": Dim}


@hookimpl
def register_attacks() -> dict[str, Any]:
    return {"push": Push}
