"""Projected gradient descent whose perturbation is smooth."""

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from superdef_bench import Norm, Threat, hookimpl
from superdef_bench.engine import AscentAttack, Region, check_counts, project, steepest


class LowFrequencyPgd(AscentAttack):
    """PGD over smooth perturbations (Guo et al., UAI 2019; Sharma et al., IJCAI 2019).

    Norms: linf, l2. Kind: budget. Loss: cross-entropy. For defenses that take away fine details
    and keep coarse ones. The papers keep the low frequencies of a cosine transform; here the
    perturbation is a coarse grid, enlarged bilinearly: each of its values lies between values of
    the grid, so that a grid within eps stays within eps and nothing has to be clipped, but to
    [0, 1] where the image is nearly black or white.

    Args:
        steps: Gradient steps per restart.
        ratio: Side of the grid over that of the image, above 0, up to 1, which is PGD.
        relative_step: Step length over eps; by default 2.5 / steps.
        restarts: Runs from random points.
        random_starts: Start at random points; else at the image itself.
    """

    def __init__(
        self,
        *,
        steps: int = 20,
        ratio: float = 0.5,
        relative_step: float | None = None,
        restarts: int = 1,
        random_starts: bool = True,
    ) -> None:
        check_counts(steps=steps, restarts=restarts)
        if not 0 < ratio <= 1:
            raise ValueError(f"ratio is {ratio}, take a number above 0, up to 1")
        if relative_step is not None and relative_step <= 0:
            raise ValueError(f"relative_step is {relative_step}, take a number above 0")
        self.steps, self.restarts, self.random_starts = steps, restarts, random_starts
        self.relative_step = 2.5 / steps if relative_step is None else relative_step
        self.ratio = ratio
        self.region = Region(self._steepest, self._project)

    def step_size(self, eps: float) -> float:
        return self.relative_step * eps

    def _steepest(self, gradient: Tensor, norm: Norm) -> Tensor:
        if norm == "l2":
            return steepest(self._enlarge(self._fit(gradient), gradient), norm)
        rows, columns = self._axes(gradient)
        of_grid = torch.einsum("yi,ncyx,xj->ncij", rows, gradient, columns)
        return self._enlarge(steepest(of_grid, norm), gradient)

    def _project(self, iterate: Tensor, x: Tensor, threat: Threat) -> Tensor:
        assert threat.eps is not None, "the harness gives budget attacks a radius"
        grid = self._fit(iterate - x)
        if threat.norm == "linf":
            grid = grid.clamp(-threat.eps, threat.eps)
        return project(x + self._enlarge(grid, x), x, threat)

    def _enlarge(self, grid: Tensor, like: Tensor) -> Tensor:
        """Return the perturbation `(N, C, H, W)` of a grid, of the size of `like`."""
        rows, columns = self._axes(like)
        return torch.einsum("yi,ncij,xj->ncyx", rows, grid, columns)

    def _fit(self, change: Tensor) -> Tensor:
        """Return the grid whose perturbation is nearest to a change `(N, C, H, W)`."""
        rows, columns = (
            _fit(side, self.ratio, change.dtype, change.device) for side in change.shape[-2:]
        )
        return torch.einsum("iy,ncyx,jx->ncij", rows, change, columns)

    def _axes(self, like: Tensor) -> tuple[Tensor, Tensor]:
        height, width = (
            _enlargement(side, self.ratio, like.dtype, like.device) for side in like.shape[-2:]
        )
        return height, width


@cache
def _enlargement(side: int, ratio: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return what each of `side` places takes from each of the grid; rows add up to 1."""
    points = torch.eye(max(1, round(side * ratio)), dtype=torch.float64)[None]
    taken = functional.interpolate(points, size=side, mode="linear", align_corners=False)[0].T
    return taken.to(device, dtype)


@cache
def _fit(side: int, ratio: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the least squares inverse of `_enlargement`, computed in float64."""
    taken = _enlargement(side, ratio, torch.float64, torch.device("cpu"))
    return torch.linalg.pinv(taken).to(device, dtype)


@hookimpl
def register_attacks() -> dict[str, type[LowFrequencyPgd]]:
    return {"low_frequency_pgd": LowFrequencyPgd}
