"""Train a small classifier at two image sizes, so that it serves x2 defenses natively."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from superdef_bench.errors import ConfigError, DataError
from superdef_bench.progress import Bar, progress_bar
from superdef_bench.training.checkpoint import load_checkpoint, save_checkpoint
from superdef_bench.training.schedule import one_cycle
from superdef_bench.transform import resize
from superdef_bench.types import Dataset

MODES = ("nearest", "bilinear", "bicubic")
_LOAD = 1000


@dataclass(frozen=True)
class Settings:
    """Hyper-parameters of the classifier recipe.

    Raises:
        ConfigError: One is out of its range.
    """

    epochs: int
    batch_size: int
    lr: float
    momentum: float
    weight_decay: float
    label_smoothing: float
    seed: int

    def __post_init__(self) -> None:
        limits = {
            "epochs": 1,
            "batch_size": 2,
            "lr": 0,
            "momentum": 0,
            "weight_decay": 0,
            "seed": 0,
        }
        for name, least in limits.items():
            if not getattr(self, name) >= least:
                raise ConfigError(f"{name} is {getattr(self, name)}", hint=f"take {least} or more")
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"label_smoothing is {self.label_smoothing}", hint="take 0 to 1")


def read_all(dataset: Dataset) -> tuple[Tensor, Tensor]:
    """Return all images as uint8 `(N, C, H, W)` and labels `(N,)`."""
    images, labels, total = [], [], len(dataset.ids)
    with progress_bar(total) as bar:
        for start in range(0, total, _LOAD):
            x, y = dataset.load(range(start, min(start + _LOAD, total)))
            images.append((x * 255).round().byte())
            labels.append(y)
            bar.show(f"reading {dataset.name} {dataset.split}", f"{start + len(x)}/{total} images")
            bar.advance(len(x))
    return torch.cat(images), torch.cat(labels)


def enlarge(x: Tensor, mode: str) -> Tensor:
    """Return images at twice their size, in [0, 1]."""
    if mode == "bicubic":
        return resize(x, (2 * x.shape[-2], 2 * x.shape[-1])).clamp(0.0, 1.0)
    return functional.interpolate(x, scale_factor=2, mode=mode)


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor, *, mode: str = "") -> float:
    """Return the share of uint8 images that `model` gets right, enlarged if a mode is named."""
    device = next(model.parameters()).device
    right = 0
    for x, y in zip(images.split(250), labels.split(250), strict=True):
        x = x.to(device).float() / 255
        x = enlarge(x, mode) if mode else x
        right += int((model(x).argmax(1) == y.to(device)).sum())
    return right / len(labels)


def _epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: tuple[Tensor, Tensor],
    settings: Settings,
    epoch: int,
    bar: Bar,
) -> float:
    """Run one epoch and return its mean loss; half of each batch is enlarged."""
    images, labels = data
    device = next(model.parameters()).device
    # Order and modes come from (seed, epoch) alone: a resumed run draws the same.
    generator = torch.Generator().manual_seed(settings.seed * 100_003 + epoch)
    size = settings.batch_size
    order = torch.randperm(len(labels), generator=generator)
    batches = order[: len(order) // size * size].split(size)
    total, loss_sum = settings.epochs * len(batches), torch.zeros((), device=device)
    for number, batch in enumerate(batches):
        step = epoch * len(batches) + number
        for group in optimizer.param_groups:
            group["lr"] = one_cycle(step, total, settings.lr)
        x, y = images[batch].to(device).float() / 255, labels[batch].to(device)
        half = size // 2
        mode = MODES[int(torch.randint(len(MODES), (), generator=generator))]
        losses = [
            functional.cross_entropy(model(x), y, label_smoothing=settings.label_smoothing)
            for x, y in ((x[:half], y[:half]), (enlarge(x[half:], mode), y[half:]))
        ]
        loss = (losses[0] + losses[1]) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss_sum += loss.detach()
        bar.advance(size)
        bar.show("training", f"epoch {epoch + 1}/{settings.epochs}, step {step + 1}/{total}")
    return float(loss_sum / len(batches))


def train_classifier(
    model: nn.Module,
    train: Dataset,
    validation: Dataset,
    settings: Settings,
    *,
    checkpoint: Path,
    resume: bool,
) -> Mapping[str, Any]:
    """Train `model` in place with SGD and a one-cycle schedule; return its metrics.

    A checkpoint is written after every epoch; `resume` goes on from it bit for bit on a CPU.

    Raises:
        DataError: The data is smaller than a batch, the loss is not finite, or the checkpoint
            cannot be used.
    """
    if len(train.ids) < settings.batch_size:
        raise DataError(
            f"{len(train.ids)} training images are fewer than a batch of {settings.batch_size}",
            hint="give more images or a smaller --batch-size",
        )
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=settings.lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=settings.momentum > 0,
    )
    first, history = 0, list[dict[str, float]]()
    if resume and checkpoint.exists():
        numbers = load_checkpoint(checkpoint, model, optimizer, asdict(settings))
        first, history = numbers["epoch"], numbers["history"]
    data, held_out = read_all(train), read_all(validation)
    with progress_bar(len(train.ids) * (settings.epochs - first)) as bar:
        for epoch in range(first, settings.epochs):
            loss = _epoch(model.train(), optimizer, data, settings, epoch, bar)
            if not torch.isfinite(torch.tensor(loss)):
                raise DataError(
                    f"the loss of epoch {epoch + 1} is {loss}",
                    hint=f"lower --lr; {checkpoint} still holds the epoch before",
                )
            history.append({"loss": loss, "validation": accuracy(model.eval(), *held_out)})
            numbers = {"settings": asdict(settings), "epoch": epoch + 1, "history": history}
            save_checkpoint(checkpoint, model, optimizer, numbers)
    return {"history": history, **measure(model, held_out)}


def measure(model: nn.Module, data: tuple[Tensor, Tensor]) -> dict[str, float]:
    """Return the accuracy at the native size and at twice the size by each interpolation."""
    model.eval()
    return {
        "accuracy": accuracy(model, *data),
        **{f"accuracy_x2_{mode}": accuracy(model, *data, mode=mode) for mode in MODES},
    }
