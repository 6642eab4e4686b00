"""Losses that attacks maximise, per image."""

from torch import Tensor
from torch.nn import functional


def cross_entropy(logits: Tensor, y: Tensor, target: Tensor | None) -> Tensor:
    """Return the cross-entropy to the label, or minus that to the target.

    Args:
        logits: `(n, N, K)`.
        y: Labels `(N,)`.
        target: Labels to reach `(N,)`, or None.

    Returns:
        Loss to maximise, `(n, N)`.
    """
    wanted = y if target is None else target
    flat = functional.cross_entropy(
        logits.flatten(0, 1), wanted.repeat(len(logits)), reduction="none"
    )
    loss = flat.unflatten(0, logits.shape[:2])
    return loss if target is None else -loss
