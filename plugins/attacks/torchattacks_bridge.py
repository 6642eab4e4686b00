"""`torchattacks:` and a name, such as `torchattacks:PGD`: any attack of that library."""

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from superdef_bench import AttackContext, ConfigError, Norm, Threat, hookimpl
from superdef_bench.engine import Constructor, Seen
from superdef_bench.nn import check_name

# The library says these in prose alone. Those with an argument `norm` have linf and l2.
_LINF = (
    *("FGSM", "BIM", "RFGSM", "PGD", "EOTPGD", "FFGSM", "TPGD", "MIFGSM", "UPGD", "DIFGSM"),
    *("TIFGSM", "Jitter", "NIFGSM", "PGDRS", "SINIFGSM", "VMIFGSM", "VNIFGSM", "SPSA"),
    *("PIFGSM", "PIFGSMPP"),
)
_L2 = ("PGDL2", "PGDRSL2", "CW", "DeepFool", "EADEN")
_BOTH = ("APGD", "APGDT", "AutoAttack", "FAB", "Square")
_SCORES = ("Square", "SPSA")
_REFUSED = {
    "EADL1": "it measures l1, the benchmark linf and l2",
    "JSMA": "it counts pixels, the benchmark measures linf and l2",
    "OnePixel": "it counts pixels, the benchmark measures linf and l2",
    "Pixle": "it counts pixels, the benchmark measures linf and l2",
    "SparseFool": "it counts pixels, the benchmark measures linf and l2",
    "GN": "it is noise without a ball: take additive_gaussian",
    "VANILA": "it returns the clean images: take none",
    "LGV": "it trains networks of its own",
    "MultiAttack": "it takes attacks as objects: give each a row, the worst case joins them",
}
_NORMS: Mapping[str, frozenset[Norm]] = {
    **dict.fromkeys(_LINF, frozenset[Norm]({"linf"})),
    **dict.fromkeys(_L2, frozenset[Norm]({"l2"})),
    **dict.fromkeys(_BOTH, frozenset[Norm]({"linf", "l2"})),
}
_RADII = ("eps", "max_epsilon")


class TorchAttack:
    """One attack of torchattacks on the benchmark's terms. Untargeted.

    Args:
        constructor: Class of the library.
        arguments: What the config says to it.
    """

    batch_dependent = True

    def __init__(self, constructor: type, arguments: Mapping[str, Any]) -> None:
        self._constructor, self._arguments = constructor, arguments
        self._takes = inspect.signature(constructor).parameters
        self.norms = _NORMS[constructor.__name__]
        self.kind = "budget" if any(name in self._takes for name in _RADII) else "minimal"
        self.access = "scores" if constructor.__name__ in _SCORES else "gradient"

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, context: AttackContext
    ) -> Tensor:
        seen = Seen(model, context, x.device)
        attack = self._constructor(**self._given(seen, x, threat), **self._arguments)
        found: Tensor = attack(x, y)
        return found

    def _given(self, seen: Seen, x: Tensor, threat: Threat) -> dict[str, Any]:
        """Return the arguments that the benchmark gives, of those that the library takes."""
        given: dict[str, Any] = {
            "model": seen,
            **dict.fromkeys(_RADII, threat.eps),
            "norm": {"linf": "Linf", "l2": "L2"}[threat.norm],
            "seed": torch.initial_seed(),  # the library seeds the global generator with it
        }
        if "n_classes" in self._takes:
            with torch.no_grad():
                given["n_classes"] = seen(x[:1]).shape[1]
        return {name: value for name, value in given.items() if name in self._takes}


def torchattacks_attack(name: str) -> Constructor:
    """Any attack of torchattacks (Kim, 2020) by the name of its class, such as `PGD`.

    Raises:
        ConfigError: The library is not installed, or has no such attack that fits this benchmark.
    """
    try:
        import torchattacks
    except ModuleNotFoundError as error:
        if error.name != "torchattacks":
            raise
        raise ConfigError(
            f"attack 'torchattacks:{name}' needs torchattacks, which is not installed",
            hint="pip install --no-deps --target DIR torchattacks; rm -r DIR/robustbench, an old "
            "copy inside; then PYTHONPATH=DIR (its dependencies would pin requests to 2.25)",
        ) from error
    if name in _REFUSED:
        raise ConfigError(f"attack 'torchattacks:{name}' has no place here: {_REFUSED[name]}")
    check_name(
        "attack of torchattacks", name, [each for each in _NORMS if hasattr(torchattacks, each)]
    )
    found = getattr(torchattacks, name)
    return Constructor(found, partial(TorchAttack, found))


@hookimpl
def register_attacks() -> dict[str, object]:
    return {"torchattacks:": torchattacks_attack}
