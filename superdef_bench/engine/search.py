"""What an iterative attack remembers: the best iterate of each image, and who is finished."""

from dataclasses import dataclass

import torch
from torch import Tensor

from superdef_bench.core.types import AttackContext
from superdef_bench.engine.gradient import Look

_STEPS_ON_A_GPU = 5  # between two countings of those that stand


@dataclass
class Batch:
    """Images still under attack, packed.

    Attributes:
        x: Clean images `(M, C, H, W)`.
        y: Labels `(M,)`.
        context: Context of these images.
        rows: Their places in the whole batch, `(M,)`; None for all of it.
    """

    x: Tensor
    y: Tensor
    context: AttackContext
    rows: Tensor | None

    def take(self, index: Tensor) -> "Batch":
        rows = index if self.rows is None else self.rows[index]
        return Batch(self.x[index], self.y[index], self.context.take(index), rows)


def _read(state: Tensor, rows: Tensor | None) -> Tensor:
    return state if rows is None else state[rows]


def _written(state: Tensor, rows: Tensor | None, values: Tensor) -> Tensor:
    if rows is None:
        return values
    state[rows] = values
    return state


class Search:
    """Best iterates over steps and restarts.

    In `verdict` the first fooling iterate is kept and the image is finished. In `strength` the
    fooling iterate of highest loss is kept, or the iterate of highest loss if none fools; the
    clean image stands only if it alone fools.
    """

    def __init__(self, x: Tensor, y: Tensor, context: AttackContext) -> None:
        self._whole = Batch(x, y, context, None)
        self.best = x.clone()
        self._loss = torch.full((len(x),), -torch.inf, device=x.device)
        self._fooled = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        self._verdict = context.goal == "verdict"

    def batch(self) -> Batch:
        """Return the images to attack in the next restart."""
        if not self._verdict:
            return self._whole
        return self._whole.take((~self._fooled).nonzero()[:, 0])

    def update(self, batch: Batch, step: int, iterate: Tensor, seen: Look, *, clean: bool) -> None:
        """Keep the iterates that beat what is known; never synchronises.

        Args:
            batch: Images that the iterate belongs to.
            step: Gradient steps taken so far.
            iterate: `(M, C, H, W)`.
            seen: What the classifier said of it.
            clean: Whether the iterate is the clean image itself.
        """
        rows, fooled = batch.rows, seen.fooled
        loss = torch.full_like(seen.loss, -torch.inf) if clean else seen.loss
        known_fooled, known_loss = _read(self._fooled, rows), _read(self._loss, rows)
        if self._verdict:
            better = ~known_fooled & (fooled | (loss > known_loss))
        else:
            higher = (loss > known_loss) | (fooled & ~known_fooled)
            better = higher & (fooled | ~known_fooled)
        pick = better.view(-1, 1, 1, 1)
        best = torch.where(pick, iterate.detach(), _read(self.best, rows))
        self.best = _written(self.best, rows, best)
        self._loss = _written(self._loss, rows, torch.where(better, loss, known_loss))
        self._fooled = _written(self._fooled, rows, known_fooled | fooled)
        batch.context.record(step, torch.arange(len(fooled), device=fooled.device), fooled)

    def pack(self, batch: Batch, step: int, *state: Tensor) -> tuple[Batch, tuple[Tensor, ...]]:
        """Drop finished images from the batch and from `state`, in `verdict` only.

        Counting the survivors waits for the device: on a GPU that is done at every fifth step.
        """
        if not self._verdict or (batch.x.is_cuda and step % _STEPS_ON_A_GPU):
            return batch, state
        alive = (~_read(self._fooled, batch.rows)).nonzero()[:, 0]
        if len(alive) == len(batch.y):
            return batch, state
        return batch.take(alive), tuple(tensor[alive] for tensor in state)
