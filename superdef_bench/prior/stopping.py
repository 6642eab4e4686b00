"""When to stop a fit that would draw the noise in the end: rules that see no label."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from superdef_bench.core.errors import ConfigError


class StopRule(ABC):
    """Watches the fit of every row, and keeps what it would return.

    Attributes:
        best: What each row would return, `(R, 3, H, W)`.
        at: The step that drew it, int64 `(R,)`; from 1.
        stopped: Rows that need no more steps, bool `(R,)`.
    """

    best: Tensor
    at: Tensor
    stopped: Tensor

    def begin(self, images: Tensor) -> None:
        """Begin with images `(R, 3, H, W)`."""
        rows = len(images)
        self.best = torch.zeros_like(images)
        self.at = torch.zeros(rows, dtype=torch.int64, device=images.device)
        self.stopped = torch.zeros(rows, dtype=torch.bool, device=images.device)

    @abstractmethod
    def see(self, step: int, drawn: Tensor, errors: Tensor) -> None:
        """Look at a step: what it drew `(R, 3, H, W)`, and the squared errors `(R,)` of that."""

    def keep(self, rows: Tensor) -> None:
        """Go on with some rows alone: indices, int64 `(K,)`."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor) and value.ndim:
                setattr(self, name, value[rows])

    def settle(self, step: int, drawn: Tensor) -> None:
        """End here: rows of which nothing was kept yet give this draw."""
        self._take(self.at == 0, step, drawn)

    def _take(self, which: Tensor, step: int, drawn: Tensor) -> None:
        self.best = torch.where(which[:, None, None, None], drawn, self.best)
        self.at = torch.where(which, step, self.at)


class Static(StopRule):
    """The same number of steps for every image.

    Raises:
        ConfigError: It is no positive number.
    """

    def __init__(self, steps: int) -> None:
        self.steps = at_least_one(steps, "steps")

    def see(self, step: int, drawn: Tensor, errors: Tensor) -> None:
        if step == self.steps:
            everything = torch.ones_like(self.stopped)
            self._take(everything, step, drawn)
            self.stopped = everything


class Patience(StopRule):
    """Keeps the draw of the least score, and stops when none was lower for so many steps.

    Args:
        patience: Steps to wait.
        less: Share by which a score must be lower to count.
    """

    def __init__(self, patience: int, *, less: float = 0.0) -> None:
        self.patience = at_least_one(patience, "patience")
        self.less = less

    def begin(self, images: Tensor) -> None:
        super().begin(images)
        self._least = torch.full((len(images),), torch.inf, device=images.device)

    def see(self, step: int, drawn: Tensor, errors: Tensor) -> None:
        score = self._score(step, drawn, errors)
        if score is None:
            return
        lower = (score < (1 - self.less) * self._least) & ~self.stopped
        self._least = torch.where(lower, score, self._least)
        self._take(lower, step, drawn)
        self.stopped = self.stopped | ((self.at > 0) & (step - self.at >= self.patience))

    @abstractmethod
    def _score(self, step: int, drawn: Tensor, errors: Tensor) -> Tensor | None:
        """Return what is to be low, `(R,)`; None before there is any."""


class Variance(Patience):
    """Least variance of the last draws: ES-WMV (Wang et al., TMLR 2023).

    The variance is the mean squared distance of the window's draws to their mean. Returned is the
    draw at which it was least.

    Args:
        window: Draws that are looked at.
        patience: Steps without a lower variance after which it stops.
    """

    def __init__(self, window: int = 100, patience: int = 1000) -> None:
        super().__init__(patience)
        self.window = at_least_one(window, "window")

    def begin(self, images: Tensor) -> None:
        super().begin(images)
        rows = len(images)
        self._drawn = images.new_zeros(rows, self.window, *images.shape[1:])
        # Small differences of large sums: in float64.
        self._sum = torch.zeros_like(images, dtype=torch.float64)
        self._squares = self._sum.new_zeros(rows)

    def _score(self, step: int, drawn: Tensor, errors: Tensor) -> Tensor | None:
        place = (step - 1) % self.window
        new, old = drawn.double(), self._drawn[:, place].double()
        self._sum += new - old
        self._squares += (new.square() - old.square()).flatten(1).sum(1)
        self._drawn[:, place] = drawn
        if step < self.window:
            return None
        mean = self._sum / self.window
        spread = self._squares / self.window - mean.square().flatten(1).sum(1)
        return (spread / mean[0].numel()).float()


class Subsample(Patience):
    """Least distance of two sub-images of the draw, smoothed over steps; no window is stored.

    After Cheng, Xu and Tao (IEEE Signal Processing Letters 2025). Each 2x2 block gives one pixel
    to either, the mean of one diagonal and of the other one (Mansour and Heckel, CVPR 2023). Noise
    that is drawn sets them apart.

    Args:
        patience: Steps without a lower distance after which it stops.
        smoothing: Share of the mean so far that each step keeps.
        warm_up: Steps before which the network has drawn next to nothing, and all is alike.
    """

    def __init__(self, patience: int = 200, *, smoothing: float = 0.98, warm_up: int = 100) -> None:
        super().__init__(patience)
        self.smoothing, self.warm_up = smoothing, at_least_one(warm_up, "warm_up")

    def begin(self, images: Tensor) -> None:
        super().begin(images)
        self._mean = torch.zeros(len(images), device=images.device)

    def _score(self, step: int, drawn: Tensor, errors: Tensor) -> Tensor | None:
        apart = sub_distance(drawn).float()
        share = self.smoothing if step > 1 else 0.0
        self._mean = share * self._mean + (1 - share) * apart
        return self._mean if step >= self.warm_up else None


class Plateau(Patience):
    """The error to the image, smoothed over steps, falls no more.

    Args:
        patience: Steps in which it has to fall by `less`.
        less: Share of the error.
        smoothing: Share of the mean so far that each step keeps.
    """

    def __init__(self, patience: int = 100, *, less: float = 0.02, smoothing: float = 0.98) -> None:
        super().__init__(patience, less=less)
        self.smoothing = smoothing

    def begin(self, images: Tensor) -> None:
        super().begin(images)
        self._mean = torch.zeros(len(images), device=images.device)

    def _score(self, step: int, drawn: Tensor, errors: Tensor) -> Tensor | None:
        share = self.smoothing if step > 1 else 0.0
        self._mean = share * self._mean + (1 - share) * errors.float()
        return self._mean


def sub_distance(images: Tensor) -> Tensor:
    """Return the mean squared distance of two sub-images, `(R,)`, of images `(R, C, H, W)`."""
    height, width = (side // 2 * 2 for side in images.shape[-2:])
    x = images[..., :height, :width]
    falling = (x[..., ::2, ::2] + x[..., 1::2, 1::2]) / 2
    rising = (x[..., ::2, 1::2] + x[..., 1::2, ::2]) / 2
    return (falling - rising).square().mean(dim=(1, 2, 3))


def at_least_one(value: int, name: str) -> int:
    """Return a number of steps.

    Raises:
        ConfigError: It is below 1.
    """
    if value < 1:
        raise ConfigError(f"{name} is {value}", hint="take 1 or more")
    return value
