"""Rotations and translations."""

import math
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional

from superdef_bench import AttackContext, Norm, Threat, hookimpl
from superdef_bench.engine import Search, cross_entropy, look


class Spatial:
    """Spatial attack (Engstrom et al., ICML 2019): the worst rotation and translation of a grid.

    Norms: linf, l2, for the distance in tables only: it keeps no ball. Bilinear, black beyond the
    border; the loss is the cross-entropy. A corruption: made on the bare classifier, replayed. The
    paper's grid has 31 angles and 5 by 5 shifts.

    Args:
        max_angle: Largest rotation either way, in degrees.
        max_shift: Largest translation along each side, as a share of it; 3 pixels of 32.
        angles: Angles in equal steps; 0 is among an odd number.
        shifts: Shifts along each side, likewise.
    """

    norms: frozenset[Norm] = frozenset({"linf", "l2"})
    kind = "corruption"
    access = "scores"
    batch_dependent = False
    targeted = True
    top_k = True

    def __init__(
        self,
        *,
        max_angle: float = 30.0,
        max_shift: float = 3 / 32,
        angles: int = 7,
        shifts: int = 5,
    ) -> None:
        if not 0 <= max_angle <= 180:
            raise ValueError(f"max_angle is {max_angle}, take 0 to 180 degrees")
        if not 0 <= max_shift < 1:
            raise ValueError(f"max_shift is {max_shift}, take a share from 0, below 1")
        for name, count in {"angles": angles, "shifts": shifts}.items():
            if count < 1 or count % 2 == 0:
                raise ValueError(f"{name} is {count}, take an odd number")
        turns, moves = _spread(max_angle, angles), _spread(max_shift, shifts)
        self.grid = list(product(turns, moves, moves))

    def passes(self, threat: Threat) -> tuple[int, int]:
        """Return the most forwards and backwards that one image needs."""
        return len(self.grid), 0

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, context: AttackContext
    ) -> Tensor:
        search = Search(x, y, context)
        batch = search.batch()
        for number, (angle, across, down) in enumerate(self.grid):
            clean = not (angle or across or down)
            moved = batch.x if clean else _moved(batch.x, angle, across, down)
            seen = look(model, moved, batch.y, batch.context, cross_entropy, gradient=False)
            search.update(batch, number, moved, seen, clean=clean)
            batch, _ = search.pack(batch, number)
            if not len(batch.y):
                break
        return search.best


def _spread(most: float, count: int) -> list[float]:
    """Return `count` numbers in equal steps from -most to most; 0 alone for one."""
    half = count // 2
    return [most * step / max(half, 1) for step in range(-half, half + 1)]


def _moved(x: Tensor, angle: float, across: float, down: float) -> Tensor:
    """Return images rotated by `angle` degrees, then moved by shares of their sides."""
    height, width = x.shape[-2:]
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    # The grid says where each pixel comes from, with sides from -1 to 1.
    turn = torch.tensor([[cosine, -sine * height / width], [sine * width / height, cosine]])
    back = -2 * turn @ torch.tensor([[across], [down]])
    place = torch.cat([turn, back], dim=1).to(x).expand(len(x), 2, 3)
    grid = functional.affine_grid(place, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, align_corners=False).clamp(0.0, 1.0)


@hookimpl
def register_attacks() -> dict[str, type[Spatial]]:
    return {"spatial": Spatial}
