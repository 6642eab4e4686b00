"""AutoAttack by its reference implementation, part by part."""

import hashlib
import logging
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from superdef_bench import AttackContext, Norm, Threat

_NORMS: dict[Norm, str] = {"linf": "Linf", "l2": "L2"}
# What the reference calls its parts.
_PARTS = {
    "apgd_ce": "apgd-ce",
    "apgd_dlr": "apgd-dlr",
    "apgd_t": "apgd-t",
    "fab": "fab",
    "fab_t": "fab-t",
    "square": "square",
}


def reference_parts(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    context: AttackContext,
    *,
    version: str,
    parts: Sequence[str],
    targets: int,
) -> Iterator[tuple[str, Tensor]]:
    """Run the parts one after the other, each on what the ones before left standing.

    Args:
        model: Classifier.
        x: Images `(N, C, H, W)` in [0, 1].
        y: Labels `(N,)`.
        threat: Ball to stay in.
        context: Ids and seed: the reference is seeded by both.
        version: Gives each part its settings: standard, plus or rand.
        parts: Names of parts, in order.
        targets: Target classes per image.

    Yields:
        The name of a part and the images after it, `(N, C, H, W)`.
    """
    from pyautoattack import AutoAttack as Reference

    x = x.contiguous()  # the reference stops with a `view` error on anything else
    with torch.no_grad():
        standing = model(x).argmax(dim=1) == y
    wrong, adversarial = ~standing, x.clone()
    reference = Reference(
        model,
        norm=_NORMS[threat.norm],
        eps=threat.eps,
        seed=_seed(context),
        version=version,
        device=x.device,
    )
    reference.logger.setLevel(logging.ERROR)
    reference.apgd_targeted.n_target_classes = targets
    reference.fab.n_target_classes = targets
    for number, name in enumerate(parts):
        reference.attacks_to_run = [_PARTS[name]]
        index = standing.nonzero()[:, 0]
        if len(index):
            found, said = reference.run_standard_evaluation(
                x[index], y[index], batch_size=len(index)
            )
            adversarial[index], standing[index] = found.detach(), said == y[index]
        if not number and bool(wrong.any()):
            # It leaves out what is wrong from the start; one attack shows that it stays wrong.
            torch.manual_seed(_seed(context))
            reference.apgd.loss = "ce"
            adversarial[wrong] = reference.apgd.perturb(x[wrong], y[wrong], best_loss=True)
        yield name, adversarial.detach().clone()


def _seed(context: AttackContext) -> int:
    """Return a seed of the run's seed and the images."""
    text = f"{context.random.seed}/{context.random.stream}/{context.ids.tolist()}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
