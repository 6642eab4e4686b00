"""AutoAttack, and the attacks that it is made of.

`autoattack`, by our own engine or by the reference implementation; `apgd_ce`, `apgd_dlr`, `apgd_t`,
`fab` and `fab_t` alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from superdef_bench import AttackContext, ConfigError, Norm, Threat, hookimpl
from superdef_bench.engine import Batch, Part, in_sequence, logits_of, square_search

from .parts import TARGETS, ApgdCe, ApgdDlr, ApgdT, Fab, FabT
from .reference import reference_parts

_SEQUENCES = {
    "standard": ("apgd_ce", "apgd_t", "fab_t", "square"),
    "plus": ("apgd_ce", "apgd_dlr", "fab", "square", "apgd_t", "fab_t"),
    "rand": ("apgd_ce", "apgd_dlr"),
}
_FOR_STRENGTH = ("apgd_ce", "apgd_dlr", "apgd_t")  # the others' examples lie on the border
_STEPS, _QUERIES, _SCHEDULE, _P_INIT = 100, 5000, 10_000, 0.8
_MORE = 5  # restarts of some parts in `plus`
_DRAWS = 20  # per gradient in `rand`
_PER_STEP = {"own": 1, "reference": 2}  # forward passes of FAB


class AutoAttack:
    """AutoAttack (Croce and Hein, ICML 2020): attacks in a row, each on what still stands.

    Norms: linf, l2. In a targeted benchmark the parts of our engine follow the target, but not
    in `plus`; the reference is untargeted. Needs 4 classes and logits. With K < 10 classes the
    targeted parts take K - 1 targets, and the row's name says so; it also names our engine, and a
    version that is not the standard one. In gray box, where examples are replayed, our engine
    runs its APGD parts at full budget and leaves FAB and Square out, whose examples lie on the
    border of a class and replay badly; the reference has no such form.

    Args:
        engine: `own`: the four attacks in our code; an image leaves as soon as it is fooled, and
            no result depends on other images. `reference`: the authors' implementation, run to
            its end, one run per shard, so that a result depends on the images beside it; an image
            that is wrong from the start gets APGD-CE alone. docs/parity.md compares them.
        version: `standard`: APGD-CE, APGD-T, FAB-T, Square. `plus`: more restarts, and APGD-DLR
            and FAB too. `rand`: APGD-CE and APGD-DLR with 20 draws per gradient, for random
            defenses.
    """

    norms: frozenset[Norm] = frozenset({"linf", "l2"})
    kind = "budget"
    access = "gradient"
    least_classes = 4
    steps = _STEPS
    formerly = {"engine": "reference"}  # noqa: RUF012  # read only

    def __init__(
        self,
        *,
        engine: Literal["own", "reference"] = "own",
        version: Literal["standard", "plus", "rand"] = "standard",
    ) -> None:
        if engine not in _PER_STEP:
            raise ValueError(f"engine is {engine!r}, take own or reference")
        if version not in _SEQUENCES:
            raise ValueError(f"version is {version!r}, take standard, plus or rand")
        self.engine, self.version = engine, version
        self.parts: Sequence[str] = _SEQUENCES[version]
        self.batch_dependent = engine == "reference"
        # The reference has no form for a target, nor has untargeted FAB.
        self.targeted = engine == "own" and "fab" not in self.parts
        # What `strength` leaves out: see below.
        self.less_in_strength = engine == "own" and version != "rand"
        # What a page says of it.
        self.restarts = _MORE if version == "plus" else 1
        self.queries = 0 if version == "rand" else _QUERIES
        self.loss_name = "ce, dlr" if version == "rand" else "ce, targeted dlr, margin"

    def qualifier(self, num_classes: int) -> str:
        """Return what the row's name says of engine, version and fewer targets than usual."""
        targeted = any(name.endswith("_t") for name in self.parts)
        words = [
            "own engine" if self.engine == "own" else "",
            "" if self.version == "standard" else self.version,
            f"{num_classes - 1} targets" if targeted and num_classes <= TARGETS else "",
        ]
        return ", ".join(filter(None, words))

    def passes(self, threat: Threat) -> tuple[int, int]:
        """Return the most forwards and backwards that one image of a large batch needs.

        Of ten classes: the reference's untargeted FAB takes a backward pass for each.
        """
        return self._passes(self.parts)

    def passes_in_strength(self, threat: Threat) -> tuple[int, int]:
        """Return the same for examples that are replayed."""
        return self._passes(self._for_strength())

    def _for_strength(self) -> list[str]:
        return [name for name in self.parts if name in _FOR_STRENGTH]

    def _passes(self, parts: Sequence[str]) -> tuple[int, int]:
        looks = _STEPS + 3  # and some before and after
        forwards = backwards = 0
        for name in parts:
            runs, targets = self._restarts(name), TARGETS if name.endswith("_t") else 1
            if name == "square":
                forwards += _QUERIES
            elif name.startswith("fab"):
                own_nearest = self.engine == "own" and name == "fab"
                each = TARGETS if own_nearest else targets * _PER_STEP[self.engine]
                forwards += runs * each * looks
                backwards += runs * _STEPS * (targets if name == "fab_t" else TARGETS + 1)
            else:
                # Our engine takes its draws from the context, which plans multiply by.
                draws = _DRAWS if (self.version, self.engine) == ("rand", "reference") else 1
                forwards += draws * runs * targets * looks
                backwards += draws * runs * targets * (_STEPS + 1)
        return forwards, backwards

    def sequence(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        threat: Threat,
        context: AttackContext,
        parts: Sequence[str] = (),
    ) -> Iterator[tuple[str, Tensor]]:
        """Run the parts one after the other.

        Args:
            model: Classifier, in the gradient view to attack.
            x: Images `(N, C, H, W)` in [0, 1].
            y: Labels `(N,)`.
            threat: Ball to stay in.
            context: Goal, ids and random numbers.
            parts: Some of `parts`; by default all.

        Yields:
            The name of a part and the images after it, of the shape of `x`.

        Raises:
            ConfigError: The classifier has fewer than 4 classes.
        """
        first = torch.zeros(1, dtype=torch.int64, device=x.device)
        num_classes = logits_of(model, Batch(x, y, context, None).take(first)).shape[1]
        if num_classes < self.least_classes:
            raise ConfigError(
                f"autoattack needs 4 classes or more for its targeted loss, not {num_classes}",
                hint="use pgd",
            )
        names = parts or self.parts
        if self.engine == "reference":
            targets = min(TARGETS, num_classes - 1)
            yield from reference_parts(
                model, x, y, threat, context, version=self.version, parts=names, targets=targets
            )
            return
        if self.version == "rand":
            context = replace(context, eot=max(context.eot, _DRAWS))
        if context.goal == "strength" and not parts:
            names = self._for_strength()
        own = {name: (self._part(name), self._steps(name)) for name in names}
        yield from in_sequence(own, model, x, y, threat, context)

    def _restarts(self, name: str) -> int:
        return self.restarts if name in ("apgd_ce", "apgd_dlr", "fab") else 1

    def _steps(self, name: str) -> int:
        return _QUERIES if name == "square" else self._restarts(name) * _STEPS

    def _part(self, name: str) -> Part:
        restarts = self._restarts(name)
        if name == "apgd_ce":
            return ApgdCe(restarts=restarts)
        if name == "apgd_dlr":
            return ApgdDlr(restarts=restarts)
        if name == "apgd_t":
            return ApgdT()
        if name == "square":
            return _square
        return Fab(restarts=restarts) if name == "fab" else FabT()

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, context: AttackContext
    ) -> Tensor:
        *_, (_, found) = self.sequence(model, x, y, threat, context)
        return found


def _square(
    model: nn.Module, x: Tensor, y: Tensor, threat: Threat, context: AttackContext
) -> Tensor:
    """Run Square by its standard settings; of a random defense each query sees one draw."""
    once = replace(context, eot=1)
    return square_search(
        model, x, y, threat, once, queries=_QUERIES, p_init=_P_INIT, schedule=_SCHEDULE
    )


@hookimpl
def register_attacks() -> dict[str, object]:
    return {
        "apgd_ce": ApgdCe,
        "apgd_dlr": ApgdDlr,
        "apgd_t": ApgdT,
        "fab": Fab,
        "fab_t": FabT,
        "autoattack": AutoAttack,
    }
