"""AutoAttack by its reference implementation."""

import hashlib
import logging

import torch
from torch import Tensor, nn

from superdef_bench import AttackContext, ConfigError, Norm, Threat, hookimpl

_STANDARD = ["apgd-ce", "apgd-t", "fab-t", "square"]
_TARGETS = 9
_APGD_STEPS, _FAB_STEPS, _QUERIES = 100, 100, 5000


class AutoAttack:
    """The standard AutoAttack (Croce and Hein, ICML 2020): APGD-CE, APGD-T, FAB-T, Square.

    Norms: linf, l2. Runs the reference code to its end: each attack gets the images that the
    ones before left standing; an image that is wrong from the start gets APGD-CE alone. One run
    per shard, so a result depends on the images beside it. With K < 10 classes the targeted
    attacks take K - 1 targets, and the row's name says so.
    """

    norms: frozenset[Norm] = frozenset({"linf", "l2"})
    kind = "budget"
    access = "gradient"
    batch_dependent = True
    least_classes = 4
    # What a page says of the standard version.
    steps, restarts, queries = _APGD_STEPS, 1, _QUERIES
    loss_name = "ce, targeted dlr, margin"

    def qualifier(self, num_classes: int) -> str:
        """Return how the run differs from the standard one; nothing from ten classes on."""
        return f"{num_classes - 1} targets" if num_classes <= _TARGETS else ""

    def passes(self, threat: Threat) -> tuple[int, int]:
        """Return the most forwards and backwards that one image needs."""
        apgd, targeted = _APGD_STEPS + 3, _TARGETS * (_APGD_STEPS + 3)
        fab = 2 * _TARGETS * _FAB_STEPS
        forwards = apgd + targeted + fab + _QUERIES
        return forwards, apgd + targeted + fab // 2

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, context: AttackContext
    ) -> Tensor:
        from pyautoattack import AutoAttack as Reference

        x = x.contiguous()  # the reference stops with a `view` error on anything else
        with torch.no_grad():
            logits = model(x)
        num_classes = logits.shape[1]
        if num_classes < 4:
            raise ConfigError(
                f"autoattack needs 4 classes or more for its targeted loss, not {num_classes}",
                hint="use pgd",
            )
        reference = Reference(
            model,
            norm={"linf": "Linf", "l2": "L2"}[threat.norm],
            eps=threat.eps,
            seed=_seed(context),
            version="standard",
            device=x.device,
        )
        reference.logger.setLevel(logging.ERROR)
        targets = min(_TARGETS, num_classes - 1)
        reference.apgd_targeted.n_target_classes = targets
        reference.fab.n_target_classes = targets
        assert reference.attacks_to_run == _STANDARD, "the name is kept for the standard four"
        adversarial, _ = reference.run_standard_evaluation(x, y, batch_size=len(x))
        wrong = logits.argmax(dim=1) != y
        if bool(wrong.any()):
            torch.manual_seed(_seed(context))
            reference.apgd.loss = "ce"
            adversarial[wrong] = reference.apgd.perturb(x[wrong], y[wrong], best_loss=True)
        return adversarial.detach()


def _seed(context: AttackContext) -> int:
    """Return a seed of the run's seed and the shard's images."""
    text = f"{context.random.seed}/{context.random.stream}/{context.ids.tolist()}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


@hookimpl
def register_attacks() -> dict[str, type[AutoAttack]]:
    return {"autoattack": AutoAttack}
