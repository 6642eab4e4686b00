"""Any attack of foolbox by its name: `foolbox:LinfPGD`."""

import inspect
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from superdef_bench import AttackContext, ConfigError, Norm, Threat
from superdef_bench.engine import Constructor, Seen
from superdef_bench.nn import check_name

from .bridge import shown

# Modules of foolbox whose attacks look at the answer's label alone; all others take gradients.
_LABELS = (
    *("additive_noise", "blended_noise", "blur", "boundary_attack", "contrast_min"),
    *("hop_skip_jump", "inversion", "saltandpepper"),
)
_BLIND = ("contrast", "additive_noise")  # look at nothing, unless they take the best of repeats
_OTHER = "it measures {}, the benchmark linf and l2"
_REFUSED = {
    "BinarizationRefinementAttack": "it starts from examples of another attack",
    "DatasetAttack": "it has to be fed with images first",
    "GenAttack": "it needs a label to aim at",
    "PointwiseAttack": "it cannot be told a distance",
    "SpatialAttack": "it moves pixels and has no ball: take spatial",
}


class FoolboxAttack:
    """One attack of foolbox (Rauber et al., JOSS 2020) on the benchmark's terms. Untargeted.

    An attack with a budget returns what foolbox clips to eps; one that looks for the smallest
    perturbation, what it found.

    Args:
        constructor: Class of the library.
        norms: What it can be asked for.
        arguments: What the config says to it.
    """

    batch_dependent = True

    def __init__(
        self, constructor: Any, norms: frozenset[Norm], arguments: Mapping[str, Any]
    ) -> None:
        from foolbox.attacks.base import FixedEpsilonAttack

        self._constructor, self._arguments, self.norms = constructor, arguments, norms
        self._fixed = issubclass(constructor, FixedEpsilonAttack)
        self.kind = "budget" if self._fixed else "minimal"
        self.access = _access(constructor)
        self._made(min(norms))  # what the library refuses is refused before anything runs

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, context: AttackContext
    ) -> Tensor:
        attack = self._made(threat.norm)
        seen = shown(Seen(model, context, x.device), x)
        _, clipped, _ = attack(seen, x, y, epsilons=threat.eps)
        found: Tensor = clipped
        return found

    def _made(self, norm: Norm) -> Any:
        """Return the attack for a norm, told to those that can be told one."""
        from foolbox.distances import l2, linf

        given = {"constraint": norm, "distance": {"linf": linf, "l2": l2}[norm]}
        takes = inspect.signature(self._constructor).parameters
        told = {name: value for name, value in given.items() if name in takes}
        return self._constructor(**told, **self._arguments)


def foolbox_attack(name: str) -> Constructor:
    """Any attack of foolbox (Rauber et al., JOSS 2020) by its name there, such as `LinfPGD`.

    Raises:
        ConfigError: The library has no such attack that fits this benchmark.
    """
    import foolbox.attacks as library
    from foolbox.attacks.base import AttackWithDistance

    if name in _REFUSED:
        raise ConfigError(f"attack 'foolbox:{name}' has no place here: {_REFUSED[name]}")
    known = {
        key: value
        for key, value in vars(library).items()
        if isinstance(value, type) and issubclass(value, AttackWithDistance)
    }
    check_name("attack of foolbox", name, known.keys() - _REFUSED.keys())
    found = known[name]
    return Constructor(found, partial(FoolboxAttack, found, _norms(name, found)))


def _norms(name: str, attack: Any) -> frozenset[Norm]:
    """Return the norms of an attack: those it can be told, or its own."""
    if {"distance", "constraint"} & inspect.signature(attack).parameters.keys():
        return frozenset({"linf", "l2"})
    # Noise computes its distance on an instance; its name says it, too.
    order = getattr(attack.distance, "p", 2 if name.startswith("L2") else math.inf)
    if order not in (2, math.inf):
        raise ConfigError(
            f"attack 'foolbox:{name}' has no place here: {_OTHER.format(f'l{order}')}"
        )
    return frozenset({"l2" if order == 2 else "linf"})


def _access(attack: Any) -> str:
    """Return what an attack asks a classifier for."""
    module = attack.__module__.rpartition(".")[2]
    if module in _BLIND and "repeats" not in inspect.signature(attack).parameters:
        return "none"
    return "labels" if module in _LABELS else "gradient"
