"""What each kind of plugin must offer, and what it is given."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from superdef_bench.core.errors import DataError
from superdef_bench.core.rng import Random
from superdef_bench.core.threats import (
    Goal,
    Norm,
    Threat,
)


def distance(x: Tensor, x_adv: Tensor, norm: Norm) -> Tensor:
    """Return the distance per image, float64 `(N,)`, of two batches `(N, C, H, W)`."""
    order = float("inf") if norm == "linf" else 2
    difference = (x_adv.double() - x.double()).flatten(1)
    return torch.linalg.vector_norm(difference, ord=order, dim=1)


def fooled(logits: Tensor, y: Tensor, *, target: Tensor | None = None, topk: int = 1) -> Tensor:
    """Return which rows of `logits` `(..., N, K)` are wrong, or reach their target.

    Args:
        logits: `(..., N, K)`.
        y: Labels `(N,)`; wrong is a row whose label is not among its `topk` highest logits.
        target: Labels to reach `(N,)`; reached by a row whose `topk` highest logits have it.
        topk: Logits that count; a tie is decided as argmax does, the first of the highest wins.

    Returns:
        Bool `(..., N)`.
    """
    wanted = y if target is None else target
    if topk == 1:
        return (logits.argmax(dim=-1) != wanted) ^ (target is not None)
    label = wanted.expand(logits.shape[:-1])[..., None]
    value = logits.gather(-1, label)
    places = torch.arange(logits.shape[-1], device=logits.device)
    above = (logits > value) | ((logits == value) & (places < label))
    inside = above.sum(dim=-1) < topk
    return ~inside if target is None else inside


@dataclass(frozen=True)
class AttackContext:
    """What an attack may know beside model, images and threat.

    Args:
        ids: Image ids, int64 `(N,)`.
        random: Random numbers keyed by those ids.
        goal: `verdict`: an image is finished once misclassified. `strength`: the full budget on
            every image, then the misclassified iterate of highest loss, or the iterate of
            highest loss if none was misclassified.
        target: Labels to reach, int64 `(N,)`, or None for any wrong label.
        topk: An image is fooled when its label is not among the k highest logits (or its target
            is).
        eot: Draws per gradient through a stochastic defense.
        first_step: Step at which each image of the whole batch was first fooled, int64, -1
            before that; filled by `record`.
        rows: Place of each image in that whole batch, int64 `(N,)`.
        begun: Steps that attacks before this one took, where several run in a row.
    """

    ids: Tensor
    random: Random
    goal: Goal = "verdict"
    target: Tensor | None = None
    topk: int = 1
    eot: int = 1
    first_step: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    rows: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    begun: int = 0

    @classmethod
    def start(cls, ids: Tensor, random: Random, **settings: Any) -> "AttackContext":
        """Return the context of a whole batch."""
        rows = torch.arange(len(ids), device=ids.device)
        return cls(ids, random, first_step=torch.full_like(ids, -1), rows=rows, **settings)

    def take(self, index: Tensor) -> "AttackContext":
        """Return the context of the images `index`, packed into a smaller batch."""
        return replace(
            self,
            ids=self.ids[index],
            random=self.random.take(index),
            target=None if self.target is None else self.target[index],
            rows=self.rows[index],
        )

    def fooled(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return which rows of `logits` `(..., N, K)` reach the goal, bool `(..., N)`."""
        return fooled(logits, y, target=self.target, topk=self.topk)

    def record(self, step: int, index: Tensor, fooled: Tensor) -> None:
        """Note that the images `index` are `fooled` `(len(index),)` after `step` steps.

        Stays on the device: no synchronisation.
        """
        rows = self.rows[index]
        before = self.first_step[rows]
        self.first_step[rows] = torch.where(fooled & (before < 0), self.begun + step, before)


@dataclass(frozen=True)
class Task:
    """What a defense is asked to defend.

    Args:
        dataset: Name of the dataset.
        sha256: Hash of the dataset.
        num_classes: Number of classes K.
        class_names: Their names.
        input_shape: `(C, H, W)`.
        model: Name of the classifier.
        model_fingerprint: Hash of the classifier's weights and sources.
        loader: Finds an artefact trained for this task.
    """

    dataset: str
    sha256: str
    num_classes: int
    class_names: tuple[str, ...]
    input_shape: tuple[int, int, int]
    model: str
    model_fingerprint: str
    loader: Callable[["Task", str, Path | None], Mapping[str, Tensor]] | None = None

    def load(self, kind: str, path: Path | None = None) -> Mapping[str, Tensor]:
        """Return the weights of the artefact `kind` that was trained for this task.

        Raises:
            DataError: there is none, or its provenance names another task.
        """
        if self.loader is None:
            raise DataError(
                f"no {kind} for task {self.dataset} / {self.model}",
                hint="this task was made by hand, without a place to look; for others: "
                f"superdef-bench train {kind} --data {self.dataset} --model {self.model}",
            )
        return self.loader(self, kind, path)


class Attack(Protocol):
    """Turns images into adversarial images, given a classifier.

    May also offer `passes(threat) -> (forwards, backwards)`, the most it needs per image,
    `batch_dependent = True` where an image's result depends on the rest of its batch,
    `targeted = True` and `top_k = True` where it follows the target and the k of its context,
    `least_classes`, the fewest it needs, `less_in_strength = True` where it leaves parts out of
    examples that are replayed, with `passes_in_strength(threat)` of the rest, and
    `qualifier(num_classes)`, which the row's name carries in brackets.
    """

    norms: frozenset[Norm]
    kind: str
    access: str

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, context: AttackContext
    ) -> Tensor:
        """Return adversarial images of the shape and dtype of `x`, in [0, 1] and in the ball."""
        ...


class Defense(Protocol):
    """Turns a classifier into a classifier. May declare `replaces = True`."""

    differentiable: bool
    stochastic: bool

    def protect(self, model: nn.Module, task: Task) -> nn.Module:
        """Return the protected classifier, with as many classes; leave `model` as it is."""
        ...


class Dataset(Protocol):
    """Labelled images in a fixed order whose every prefix is class-balanced."""

    name: str
    split: str
    ids: Sequence[str]
    num_classes: int
    class_names: Sequence[str]

    @property
    def sha256(self) -> str:
        """Hash of what the dataset holds."""
        ...

    def load(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return images, float32 `(N, C, H, W)` in [0, 1], and labels, int64 `(N,)`."""
        ...


class Recipe(Protocol):
    """Trains what a plugin needs. May have `data`, what `--data` is by default, else `signs`.

    Keyword arguments beside `data`, `out`, `device` and `resume` are flags; their lines under
    `Args:` are the help.
    """

    def train(
        self,
        task: Task | None,
        *,
        data: str,
        out: Path,
        device: str,
        resume: bool,
        **settings: Any,
    ) -> Sequence[Path]:
        """Train and return the files written: safetensors and provenance JSON.

        `task` is None unless `--model` names a classifier; `load_model(task.model)` builds it. Of
        images without labels the task has the model's classes, by number, and an empty sha256.
        """
        ...
