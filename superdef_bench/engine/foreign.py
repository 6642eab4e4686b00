"""Attacks of other libraries: what a config may say to their constructors, and what they see."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from superdef_bench.core.arguments import hints_of
from superdef_bench.core.transform import Protected
from superdef_bench.core.types import Attack, AttackContext

_EPS = "the threat says it: eps of the row, or of [threat]"
_NORM = "the threat says it: norm of the row, or of [threat]"
_OBJECT = "a config has numbers, text and lists, no objects of a library"

# Arguments of their constructors that come from the benchmark, and why no config sets them.
GIVEN: Mapping[str, str] = {
    "model": "the rung says which classifier is attacked",
    "eps": _EPS,
    "max_epsilon": _EPS,
    "norm": _NORM,
    "distance": _NORM,
    "constraint": _NORM,
    "seed": "the run says it: seed of [run]",
    "n_classes": "the dataset says it",
    "init_attack": _OBJECT,
    "tensorboard": "the records of a run are what is kept of it",
}


class Constructor:
    """The constructor of a foreign attack, as a config may call it: a factory of attacks.

    Signature, types and documentation are those of the library, less what the benchmark gives.

    Args:
        attack: Class of the library.
        build: Makes an attack of the arguments that a config has.

    Attributes:
        given: Arguments that are not for a config, with what says them.
    """

    def __init__(self, attack: type, build: Callable[[Mapping[str, Any]], Attack]) -> None:
        self.given = GIVEN
        free = [p for p in inspect.signature(attack).parameters.values() if p.name not in GIVEN]
        self.__signature__ = inspect.Signature(
            [p.replace(kind=p.KEYWORD_ONLY) for p in free if p.kind is not p.VAR_KEYWORD]
        )
        self.__annotations__ = {p.name: _type_of(p.default) for p in free} | hints_of(attack)
        self.__doc__ = inspect.getdoc(attack)
        self._build = build

    def __call__(self, **arguments: Any) -> Attack:
        """Return the attack."""
        return self._build(arguments)


def _type_of(default: object) -> Any:
    """Return what a value has to be, by a default; a whole number may stand for any number."""
    if isinstance(default, bool | str):
        return type(default)
    return float if isinstance(default, int | float) else Any


class Seen(nn.Module):
    """A classifier as a library may call it: on any images, in batches of any size.

    Of a random defense on a gradient rung it shows the mean logits of `context.eot` draws. They
    are drawn by row and call, as nobody knows which images a library puts into a batch.

    Args:
        model: What is attacked, in the gradient view to attack.
        context: The draws.
        device: Where the images are; libraries ask the first parameter, and there may be none.
    """

    def __init__(self, model: nn.Module, context: AttackContext, device: torch.device) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros((), device=device), requires_grad=False)
        self.model = model
        random = isinstance(model, Protected) and model.stochastic
        self._draws = context.eot if random else 1
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `(N, K)`."""
        logits: Tensor = self.model(x)
        for _ in range(self._draws - 1):
            logits = logits + self.model(x)
        return logits / self._draws if self._draws > 1 else logits
