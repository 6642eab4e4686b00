"""Attacks that take each gradient at a randomly resized and padded image.

`di2_fgsm`, and `mdi2_fgsm` with momentum.
"""

import torch
from torch import Tensor
from torch.nn import functional

from superdef_bench import Random, hookimpl
from superdef_bench.engine import AscentAttack, check_counts


class Di2Fgsm(AscentAttack):
    """Diverse inputs iterative FGSM (Xie et al., CVPR 2019).

    Norms: linf, l2. Kind: budget. Loss: cross-entropy. Steps of eps / steps. At every step each
    image tosses a coin of its own; on heads it is shrunk (nearest neighbour) to a size of its own
    and padded with black at a random place. Xie et al. enlarge 299 pixels to 299..330; here the
    padded image keeps the input's size, since many classifiers take no other. The iterate is
    judged as it is, which costs a second forward pass per step.

    Args:
        steps: Gradient steps.
        probability: Of heads.
        ratio: Smallest side over that of the input, 299 / 330 by default.
    """

    def __init__(
        self, *, steps: int = 10, probability: float = 0.5, ratio: float = 299 / 330
    ) -> None:
        check_counts(steps=steps)
        if not 0 <= probability <= 1:
            raise ValueError(f"probability is {probability}, take 0 to 1")
        if not 0 < ratio <= 1:
            raise ValueError(f"ratio is {ratio}, take a number above 0, up to 1")
        self.steps, self.probability, self.ratio = steps, probability, ratio

    def step_size(self, eps: float) -> float:
        return eps / self.steps

    def diversify(self, x: Tensor, random: Random) -> Tensor:
        """Return images `(N, C, H, W)`, each shrunk and padded by its own draw or left alone."""
        heads, share, down, across = random.uniform(4).unbind(dim=1)  # (N,)
        shrink = torch.where(heads < self.probability, self.ratio + (1 - self.ratio) * share, 1.0)
        rows, columns = (
            self._sources(side, shrink, place)
            for side, place in zip(x.shape[-2:], (down, across), strict=True)
        )
        wide = columns[:, None, :].expand(-1, x.shape[-2], -1)
        high = rows[:, :, None].expand(-1, -1, x.shape[-1])
        grid = torch.stack([wide, high], dim=-1)  # (N, H, W, 2)
        return functional.grid_sample(x, grid, mode="nearest", align_corners=False)

    @staticmethod
    def _sources(side: int, shrink: Tensor, place: Tensor) -> Tensor:
        """Return where each pixel reads from in [-1, 1], `(N, side)`; outside for the border."""
        size = (side * shrink).round().clamp_min(1)[:, None]
        start = (place[:, None] * (side - size + 1)).floor()
        steps = torch.arange(side, device=shrink.device) - start  # (N, side)
        return torch.where((steps >= 0) & (steps < size), (2 * steps + 1) / size - 1, 2.0)


class Mdi2Fgsm(Di2Fgsm):
    """DI2-FGSM with momentum, M-DI2-FGSM (Xie et al., CVPR 2019).

    Norms: linf, l2. Kind: budget. Loss: cross-entropy. The rest is as in `di2_fgsm`.

    Args:
        steps: Gradient steps.
        probability: Of shrinking an image at a step.
        ratio: Smallest side over that of the input.
        decay: Weight of the accumulated gradient.
    """

    def __init__(
        self,
        *,
        steps: int = 10,
        probability: float = 0.5,
        ratio: float = 299 / 330,
        decay: float = 1.0,
    ) -> None:
        super().__init__(steps=steps, probability=probability, ratio=ratio)
        if decay < 0:
            raise ValueError(f"decay is {decay}, take 0 or more")
        self.momentum = decay


@hookimpl
def register_attacks() -> dict[str, type[Di2Fgsm]]:
    return {"di2_fgsm": Di2Fgsm, "mdi2_fgsm": Mdi2Fgsm}
