"""AutoAttack, by our own engine or by the reference implementation, and its parts alone."""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from superdef_bench import AttackContext, ConfigError, Norm, Threat, hookimpl

from .reference import reference_parts

_TARGETS = 9
_PARTS = {
    "standard": ("apgd_ce", "apgd_t", "fab_t", "square"),
    "plus": ("apgd_ce", "apgd_dlr", "fab", "square", "apgd_t", "fab_t"),
    "rand": ("apgd_ce", "apgd_dlr"),
}
_STEPS, _QUERIES = 100, 5000


class AutoAttack:
    """AutoAttack (Croce and Hein, ICML 2020): attacks in a row, each on what still stands.

    Norms: linf, l2.

    Args:
        engine: `own` or `reference`.
        version: `standard`, `plus` or `rand`.
    """

    norms: frozenset[Norm] = frozenset({"linf", "l2"})
    kind = "budget"
    access = "gradient"
    least_classes = 4
    steps, restarts, queries = _STEPS, 1, _QUERIES
    loss_name = "ce, targeted dlr, margin"

    def __init__(
        self,
        *,
        engine: Literal["own", "reference"] = "reference",
        version: Literal["standard", "plus", "rand"] = "standard",
    ) -> None:
        self.engine, self.version = engine, version
        self.parts: Sequence[str] = _PARTS[version]
        self.batch_dependent = engine == "reference"

    def qualifier(self, num_classes: int) -> str:
        """Return how the run differs from the standard one; nothing from ten classes on."""
        return f"{num_classes - 1} targets" if num_classes <= _TARGETS else ""

    def sequence(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        threat: Threat,
        context: AttackContext,
        parts: Sequence[str] = (),
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield each part's name, and the images after it."""
        with torch.no_grad():
            classes = model(x[:1]).shape[-1]
        yield from reference_parts(
            model, x, y, threat, context,
            version=self.version, parts=parts or self.parts, targets=min(_TARGETS, classes - 1),
        )

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, context: AttackContext
    ) -> Tensor:
        found = x
        for _, found in self.sequence(model, x, y, threat, context):
            pass
        return found


@hookimpl
def register_attacks() -> dict[str, type[AutoAttack]]:
    return {"autoattack": AutoAttack}
