"""Losses that attacks maximise, per image."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Push = Literal["both", "down", "up"]


def cross_entropy(
    logits: Tensor, y: Tensor, target: Tensor | None, *, scale: float = 1.0
) -> Tensor:
    """Return the cross-entropy to the label, or minus that to the target.

    Args:
        logits: `(n, N, K)`.
        y: Labels `(N,)`.
        target: Labels to reach `(N,)`, or None.
        scale: Divides the logits first; large ones otherwise give gradients of 0 (Carlini and
            Wagner, 2016).

    Returns:
        Loss to maximise, `(n, N)`.
    """
    wanted = y if target is None else target
    flat = functional.cross_entropy(
        logits.flatten(0, 1) / scale, wanted.repeat(len(logits)), reduction="none"
    )
    loss = flat.unflatten(0, logits.shape[:2])
    return loss if target is None else -loss


def margin(logits: Tensor, y: Tensor, target: Tensor | None, *, topk: int = 1) -> Tensor:
    """Return the k-th highest other logit minus that of the label, for a target its negative.

    Above 0 an image is fooled (Carlini and Wagner, S&P 2017). Shapes as in `cross_entropy`.
    """
    wanted, others = _apart(logits, y if target is None else target)
    gap = others.topk(topk, dim=-1).values[..., -1] - wanted
    return gap if target is None else -gap


def dlr(logits: Tensor, y: Tensor, target: Tensor | None) -> Tensor:
    """Return the difference of logits ratio (Croce and Hein, ICML 2020): a margin without scale.

    Needs 4 classes. Shapes as in `cross_entropy`.
    """
    high = logits.topk(4, dim=-1).values
    wanted, others = _apart(logits, y)
    if target is None:
        return (others.amax(dim=-1) - wanted) / (high[..., 0] - high[..., 2]).clamp_min(_TINY)
    reached = _pick(logits, target)
    spread = high[..., 0] - (high[..., 2] + high[..., 3]) / 2
    return (reached - wanted) / spread.clamp_min(_TINY)


def probability_margin(
    logits: Tensor,
    y: Tensor,
    target: Tensor | None,
    *,
    push: Push = "both",
) -> Tensor:
    """Return the highest other probability minus that of the label, for a target its negative.

    Xie et al., "Towards Million-Scale Adversarial Robustness Evaluation With Stronger Individual
    Attacks" (CVPR 2025). Logits whose margin is wide are divided first, image by image, so that
    the probabilities never come so near to 0 and 1 that no gradient is left. Shapes as in
    `cross_entropy`.

    Args:
        logits: `(n, N, K)`.
        y: Labels `(N,)`.
        target: Labels to reach `(N,)`, or None.
        push: What the gradient sees: `both` probabilities, or only the one that has to come
            `down` or go `up`. The value is the same.
    """
    scale = (margin(logits.detach(), y, target).abs() / _WIDE).clamp_min(1.0)
    probabilities = (logits / scale[..., None]).softmax(dim=-1)
    wanted, others = _apart(probabilities, y if target is None else target)
    highest = others.amax(dim=-1)
    down, up = (wanted, highest) if target is None else (highest, wanted)
    if push == "down":
        return up.detach() - down
    return up - down.detach() if push == "up" else up - down


def targeted_ratio(logits: Tensor, y: Tensor, target: Tensor | None) -> Tensor:
    """Return `dlr`, or `margin` where there are too few classes for it."""
    loss = dlr if logits.shape[-1] >= DLR_CLASSES else margin
    return loss(logits, y, target)


def logit_gap(logits: Tensor, y: Tensor, target: Tensor | None) -> Tensor:
    """Return the logit of the target minus that of the label. Shapes as in `cross_entropy`."""
    assert target is not None, "a gap is one to a target"
    return _pick(logits, target) - _pick(logits, y)


DLR_CLASSES = 4
_TINY = 1e-12
_WIDE = 5.0  # a margin at which the smaller of two probabilities is about 0.007


def _pick(logits: Tensor, label: Tensor) -> Tensor:
    return logits.gather(-1, label.expand(logits.shape[:-1])[..., None])[..., 0]


def _apart(logits: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logit of the label, `(n, N)`, and all logits with that one at minus infinity."""
    places = label.expand(logits.shape[:-1])[..., None]
    others = logits.scatter(-1, places, -torch.inf)
    return logits.gather(-1, places)[..., 0], others
