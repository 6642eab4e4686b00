"""Several runs of an attack on each image side by side, one for each class that it aims at."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from superdef_bench.core.threats import Norm
from superdef_bench.engine.gradient import Look, Loss, look
from superdef_bench.engine.losses import logit_gap
from superdef_bench.engine.search import Batch

_TINY = 1e-12
_ROWS = 32  # of a forward pass
_TAILS = (8, 16, 32)  # rows of the last one on a processor, the least that holds what is left
_ROWS_ON_A_GPU = 512  # at most
_SMALL = 3 * 96 * 96  # numbers of an image; larger ones go through in smaller passes


@dataclass(frozen=True)
class Aims:
    """Images under attack, each repeated for each of its T runs.

    Attributes:
        batch: The images, `M` of them.
        labels: Classes that the runs aim at, int64 `(M, T)`; None for one run that aims at none.
    """

    batch: Batch
    labels: Tensor | None

    @property
    def runs(self) -> int:
        """T."""
        return 1 if self.labels is None else self.labels.shape[1]

    def spread(self, tensor: Tensor) -> Tensor:
        """Return a tensor `(M, ...)` as `(M, T, ...)`, the same for each run."""
        return tensor[:, None].expand(-1, self.runs, *tensor.shape[1:])

    def look(
        self, model: nn.Module, iterate: Tensor, loss: Loss, *, gradient: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return loss `(M, T)`, whether fooled `(M, T)` and gradient `(M, T, C, H, W)`.

        Args:
            model: Classifier.
            iterate: `(M, T, C, H, W)`.
            loss: Of the logits.
            gradient: Whether to return one.
        """
        shape = iterate.shape[:2]
        images = torch.arange(shape[0], device=iterate.device).repeat_interleave(shape[1])
        rows = iterate.flatten(0, 1)
        aim = None if self.labels is None else self.labels.flatten()
        parts = [
            look(
                model,
                rows[places],
                self.batch.y[images[places]],
                self.batch.context.take(images[places]),
                loss,
                gradient=gradient,
                aim=None if aim is None else aim[places],
            )
            for places in _passes(model, rows)
        ]
        count = len(rows)  # without what fills up the last pass
        loss_values = torch.cat([part.loss for part in parts])[:count].view(shape)
        fooled = torch.cat([part.fooled for part in parts])[:count].view(shape)
        slopes = [part.gradient for part in parts if part.gradient is not None]
        slope = torch.cat(slopes)[:count].view(iterate.shape) if slopes else None
        return loss_values, fooled, slope


def best_of(iterate: Tensor, loss: Tensor, fooled: Tensor) -> tuple[Tensor, Look]:
    """Return of each image the run that fools with the highest loss, else that of highest loss.

    Args:
        iterate: `(M, T, C, H, W)`.
        loss: `(M, T)`.
        fooled: `(M, T)`.
    """
    some = fooled.any(dim=1)
    counted = torch.where(fooled | ~some[:, None], loss.nan_to_num(-torch.inf), -torch.inf)
    run = counted.argmax(dim=1)
    images = torch.arange(len(run), device=run.device)
    return iterate[images, run], Look(loss[images, run], some, None)


def is_random(model: nn.Module) -> bool:
    """Return whether a classifier draws random numbers, as far as it says."""
    return bool(getattr(model, "stochastic", True))


def logits_of(model: nn.Module, batch: Batch) -> Tensor:
    """Return the logits of the images themselves, their mean over draws, `(M, K)`."""
    found: list[Tensor] = []

    def note(logits: Tensor, y: Tensor, target: Tensor | None) -> Tensor:
        found.append(logits)
        return logits[..., 0]

    look(model, batch.x, batch.y, batch.context, note, gradient=False)
    return torch.cat(found).mean(dim=0)


def likely_classes(model: nn.Module, batch: Batch, count: int) -> Tensor:
    """Return the classes of highest logit beside the label, the highest first, int64 `(M, T)`.

    T is `count`, or one less than there are classes.
    """
    logits = logits_of(model, batch)
    few = min(count, logits.shape[1] - 1)
    return logits.scatter(1, batch.y[:, None], -torch.inf).topk(few, dim=1).indices


def aimed_at(model: nn.Module, batch: Batch, count: int) -> Tensor:
    """Return the target of the context, `(M, 1)`, where it has one; else `likely_classes`."""
    target = batch.context.target
    return likely_classes(model, batch, count) if target is None else target[:, None]


def near_classes(
    model: nn.Module, batch: Batch, count: int, norm: Norm, *, candidates: int = 100
) -> Tensor:
    """Return the classes that a linear model would reach first, the nearest first, `(M, T)`.

    Melamed et al., "MALT Powers Up Adversarial Attacks" (NeurIPS 2024): classes are ordered by the
    gap between their logit and the label's over the length of its gradient, in the dual norm. It
    takes a forward and a backward pass for each of the likeliest classes.

    Args:
        model: Classifier.
        batch: Images.
        count: T, or one less than there are classes where these are fewer.
        norm: Of the ball.
        candidates: Classes to look at.
    """
    labels = likely_classes(model, batch, max(count, candidates))
    dual = 1 if norm == "linf" else 2
    gains = []
    for label in labels.unbind(dim=1):
        seen = look(model, batch.x, batch.y, batch.context, logit_gap, gradient=True, aim=label)
        assert seen.gradient is not None
        length = torch.linalg.vector_norm(seen.gradient.flatten(1), ord=dual, dim=1)
        gains.append(seen.loss / length.clamp_min(_TINY))
    nearest = torch.stack(gains, dim=1).nan_to_num(-torch.inf).argsort(dim=1, descending=True)
    return labels.gather(1, nearest[:, :count])


def _passes(model: nn.Module, rows: Tensor) -> Iterator[Tensor]:
    """Yield the places of the rows of each forward pass, the last of them filled up.

    Kernels round by the size of a batch, most of all that of one row. Passes have a few sizes,
    which round alike on a processor for most networks, so that what an image gets does not depend
    on how many stand beside it. A random defense draws by row and call: its rows stay together.
    """
    count = len(rows)
    places = torch.arange(count, device=rows.device)
    if is_random(model):
        yield places
        return
    size = _ROWS if rows[0].numel() <= _SMALL else _TAILS[0]
    while rows.is_cuda and size < min(count, _ROWS_ON_A_GPU):
        size *= 2
    for part in places.split(size):
        whole = size if rows.is_cuda else min(each for each in _TAILS if each >= len(part))
        yield torch.cat([part, part.new_zeros(whole - len(part))])
