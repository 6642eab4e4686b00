"""The loop of every recipe: steps, learning rate, averaged weights, checkpoints, validation."""

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from superdef_bench.core.errors import ConfigError, DataError, SuperdefError
from superdef_bench.io.machine import out_of_memory
from superdef_bench.io.process import stoppable
from superdef_bench.io.progress import Bar, progress_bar
from superdef_bench.training.checkpoint import load_checkpoint, save_checkpoint

Schedule = Literal["one_cycle", "cosine"]


def one_cycle(step: int, total: int, peak: float, *, warm_up: float = 0.25) -> float:
    """Return the learning rate of a one-cycle schedule (Smith and Topin, 2017).

    Rises along a cosine from peak / 25 for the first `warm_up` of all steps, then falls along a
    cosine to peak / 10,000.
    """
    turn = max(1.0, warm_up * total)
    if step < turn:
        low, high, part = peak / 25, peak, step / turn
    else:
        low, high, part = peak, peak / 1e4, (step - turn) / max(1.0, total - turn)
    return low + (high - low) * (1 - math.cos(math.pi * part)) / 2


def cosine(step: int, total: int, peak: float) -> float:
    """Return the learning rate that falls along half a cosine from `peak` to peak / 10,000."""
    low = peak / 1e4
    return low + (peak - low) * (1 + math.cos(math.pi * step / max(1, total))) / 2


def rate_of(schedule: Schedule, steps: int, peak: float) -> Callable[[int], float]:
    """Return the learning rate of each of `steps` steps."""
    shape = one_cycle if schedule == "one_cycle" else cosine
    return lambda step: shape(step, steps, peak)


_CHECK = 20  # steps between looks at the loss, which wait for the device
_SECONDS = 60.0  # between checkpoints where validations are further apart

_MOST = 2**31 - 1  # of a seed, so that seed and step fit into one of torch

History = list[dict[str, float]]


def check_seed(seed: int) -> None:
    """Raise ConfigError unless a seed can be combined with the number of a step."""
    if not 0 <= seed <= _MOST:
        raise ConfigError(f"seed is {seed}", hint=f"take 0 to {_MOST}")


@dataclass(frozen=True)
class Fit:
    """How a network is trained, whatever its loss.

    Args:
        steps: Optimiser steps in all.
        rate: Learning rate of a step.
        every: Steps between validations; there is one after the last step in any case.
        average: Decay of the exponential moving average of the weights; 0 for none.
        settings: What a checkpoint must agree on to be resumed.
        checkpoint: File that holds the state.
        resume: Go on from it, if it is there.
    """

    steps: int
    rate: Callable[[int], float]
    every: int
    average: float
    settings: Mapping[str, Any]
    checkpoint: Path
    resume: bool


class _Training:
    """The state between two steps."""

    def __init__(self, fit: Fit, model: nn.Module, optimizer: Optimizer) -> None:
        self.fit, self.model, self.optimizer = fit, model, optimizer
        self.average = copy.deepcopy(model).requires_grad_(False) if fit.average else None
        self.step, self.saved, self.history, self.seen = 0, 0, History(), _Seen()
        self._pairs = self._floating_pairs()
        there = fit.checkpoint.exists()
        if there and not fit.resume:
            raise ConfigError(
                f"checkpoint {fit.checkpoint} is there already",
                hint="--resume goes on from it; to start afresh take another -o, or delete it",
            )
        self.resumed = there
        if self.resumed:
            numbers = load_checkpoint(fit.checkpoint, self.modules(), optimizer, fit.settings)
            self.step, self.history, self.seen = _progress(fit, numbers)
            self.saved = self.step
        self._first, self._started = self.step, time.monotonic()
        self._written = self._started

    def modules(self) -> dict[str, nn.Module]:
        return {"model": self.model, **({"average": self.average} if self.average else {})}

    @property
    def best(self) -> nn.Module:
        """The network to use: averaged where an average is kept."""
        return self.average or self.model

    def advance(self, loss_of: Callable[[int], Tensor]) -> Tensor:
        """Take one step and return its loss, on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.fit.rate(self.step)
        loss = loss_of(self.step)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.step += 1
        self._follow()
        return loss.detach()

    def _floating_pairs(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return the tensors of the average and of the model that are averaged."""
        if self.average is None:
            return [], []
        states = (module.state_dict().values() for module in (self.average, self.model))
        both = zip(*states, strict=True)
        floating = [pair for pair in both if pair[0].is_floating_point()]
        return [kept for kept, _ in floating], [new for _, new in floating]

    @torch.no_grad()
    def _follow(self) -> None:
        if self.average is None:
            return
        # Short at first, so that the random start is soon forgotten.
        decay = min(self.fit.average, self.step / (self.step + 10))
        torch._foreach_lerp_(*self._pairs, 1 - decay)

    def due(self) -> bool:
        return time.monotonic() - self._written > _SECONDS

    def save(self) -> None:
        numbers = {
            "settings": self.fit.settings,
            "step": self.step,
            "history": self.history,
            "seen": self.seen.numbers(),
        }
        save_checkpoint(self.fit.checkpoint, self.modules(), self.optimizer, numbers)
        self.saved, self._written = self.step, time.monotonic()

    def kept(self) -> str:
        """Say what is on disk."""
        if not self.saved:
            return "no checkpoint was written yet"
        return f"{self.fit.checkpoint} holds step {self.saved}"

    def line(self) -> str:
        """Say where the training stands, and how long it will take."""
        last = self.history[-1] if self.history else {}
        metrics = [f"{k} {v:.4g}" for k, v in last.items() if k not in ("step", "loss")]
        words = [f"step {self.step}/{self.fit.steps}", f"loss {self.seen.mean:.4g}", *metrics]
        left = (self.fit.steps - self.step) / max(self.step - self._first, 1)
        seconds = left * (time.monotonic() - self._started)
        return ", ".join([*words, f"{seconds / 60:.1f} min left"] if left else words)


def fit_network(
    fit: Fit,
    model: nn.Module,
    optimizer: Optimizer,
    loss_of: Callable[[int], Tensor],
    validate: Callable[[nn.Module], Mapping[str, float]],
) -> tuple[nn.Module, History]:
    """Train `model`; return the network to use and what each validation found.

    Everything that a step draws must come from its number: then a resumed training is bit-equal
    on a CPU.

    Args:
        fit: Steps, schedule, checkpoint.
        model: Trained in place.
        optimizer: Of its parameters.
        loss_of: Draws the batch of a step and returns its mean loss.
        validate: Measures a network in evaluation mode.

    Raises:
        ConfigError: There is a checkpoint, and it is not to be resumed.
        DataError: The checkpoint cannot be used, the loss is not finite, or memory ran out.
        SuperdefError: The user stopped it.
    """
    training = _Training(fit, model, optimizer)
    with progress_bar(fit.steps) as bar, stoppable(), _explained(training):
        if fit.resume and not training.resumed:
            bar.log(f"there is no checkpoint {fit.checkpoint}: starting afresh")
        bar.advance(training.step)
        while training.step < fit.steps:
            model.train()
            training.seen.add(training.advance(loss_of))
            bar.advance(1)
            last = training.step == fit.steps
            if training.step % _CHECK == 0 or last:
                _check(training)
                bar.show("training", training.line())
            if training.step % fit.every == 0 or last:
                _validate(training, validate, bar)
            elif training.step % _CHECK == 0 and training.due():
                training.save()
    return training.best, training.history


class _Seen:
    """Losses since the last validation, summed on the device."""

    def __init__(self, total: float = 0.0, count: int = 0) -> None:
        self._sum: Tensor | float = total
        self._count, self.mean = count, math.nan

    def numbers(self) -> tuple[float, int]:
        """Return what makes the same again."""
        return float(self._sum), self._count

    def add(self, loss: Tensor) -> None:
        self._sum, self._count = self._sum + loss, self._count + 1

    def average(self) -> float:
        """Bring the mean to the host and return it."""
        self.mean = float(self._sum) / self._count
        return self.mean


def _progress(fit: Fit, numbers: Mapping[str, Any]) -> tuple[int, History, _Seen]:
    """Return where a checkpoint stands: its step, what validations found, the losses since.

    Raises:
        DataError: It does not say.
    """
    step: Any = numbers.get("step")
    seen: Any = numbers.get("seen")
    history: Any = numbers.get("history")
    lines: list[Any] = history if isinstance(history, list) else [None]
    if (
        not _is_number(step, int)
        or not 0 <= step <= fit.steps
        or not all(isinstance(line, dict) and all(map(_is_number, line.values())) for line in lines)
        or (step == fit.steps and not lines)
        or not (isinstance(seen, list) and len(seen) == 2 and all(map(_is_number, seen)))
    ):
        raise DataError(
            f"checkpoint {fit.checkpoint} does not say where the training stood",
            hint="delete it to start afresh",
        )
    return step, history, _Seen(*seen)


def _is_number(value: object, kind: Any = (int, float)) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _check(training: _Training) -> None:
    """Raise DataError unless the mean loss is finite."""
    if not math.isfinite(training.seen.average()):
        raise DataError(
            f"the loss is {training.seen.mean} by step {training.step}",
            hint=f"lower --lr; {training.kept()}",
        )


def _validate(
    training: _Training, validate: Callable[[nn.Module], Mapping[str, float]], bar: Bar
) -> None:
    _check(training)
    found = dict(validate(training.best.eval()))
    strange = [name for name, value in found.items() if not math.isfinite(value)]
    if strange:
        raise DataError(
            f"{strange[0]} is {found[strange[0]]} at step {training.step}",
            hint=f"lower --lr; {training.kept()}",
        )
    loss = training.seen.mean
    training.history.append({"step": training.step, "loss": loss, **found})
    bar.log(training.line())
    training.seen = _Seen()
    training.save()


@contextmanager
def _explained(training: _Training) -> Iterator[None]:
    """Turn what ends a training early into one line that says what is on disk."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise SuperdefError(
            f"stopped at step {training.step} of {training.fit.steps}; {training.kept()}",
            hint="the same command with --resume goes on",
        ) from error
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        hint = f"take a smaller batch, patch or network; {training.kept()}"
        raise DataError(f"memory ran out at step {training.step + 1}", hint=hint) from error
