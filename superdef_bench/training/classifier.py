"""Train a small classifier at two image sizes, so that it serves x2 defenses natively."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from superdef_bench.core.errors import ConfigError
from superdef_bench.core.transform import resize
from superdef_bench.core.types import Dataset
from superdef_bench.training.adversarial import Adversary
from superdef_bench.training.data import at_once, check_batch, read_all
from superdef_bench.training.loop import Fit, check_seed, fit_network, rate_of
from superdef_bench.training.super_resolution import autocast

Augment = Literal["none", "crop", "flip_crop"]

_SHIFT = 8  # the share of a side that a crop moves by at most: one in eight, 4 pixels of 32


def flip_crop(x: Tensor, seed: int, *, mirror: bool = True) -> Tensor:
    """Return images mirrored and shifted at random, each for itself (He et al., CVPR 2016).

    Half of them are mirrored. Each is shifted by up to an eighth of its side in both directions;
    what comes into the picture is black. The same seed draws the same.

    Args:
        x: Images `(N, C, H, W)`.
        seed: Of the draws.
        mirror: Whether any is mirrored.
    """
    count, _, height, width = x.shape
    generator = torch.Generator().manual_seed(seed)
    tall, wide = height // _SHIFT, width // _SHIFT
    down = torch.randint(2 * tall + 1, (count, 1), generator=generator)
    right = torch.randint(2 * wide + 1, (count, 1), generator=generator)
    mirrored = torch.rand(count, 1, generator=generator) < (0.5 if mirror else 0.0)
    rows = down + torch.arange(height)
    columns = right + torch.arange(width)
    columns = torch.where(mirrored, columns.flip(1), columns)
    padded = functional.pad(x, (wide, wide, tall, tall))
    each = torch.arange(count)[:, None, None]
    found = padded.permute(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None]]
    # With the channels last in memory torch 2.11 crashes in layers of under 16 channels.
    return found.permute(0, 3, 1, 2).contiguous()


MODES = ("nearest", "bilinear", "bicubic")
_AT_ONCE = 250
_ATTACKED = 250  # validation images that are attacked after every epoch
_MEASURED = 500  # images that are attacked in the end


@dataclass(frozen=True)
class Settings:
    """Hyper-parameters of the classifier recipe.

    Args:
        epochs: Passes over the training images.
        batch_size: Images per step.
        lr: Peak learning rate.
        momentum: Nesterov momentum.
        weight_decay: L2 penalty.
        label_smoothing: Share of the label spread over all classes.
        seed: Seed of order and noise.
        precision: `bfloat16` runs convolutions in it, those of the attack too.
        adversary: Makes the images to train on; None for clean ones.
        augment: `crop` shifts them, `flip_crop` mirrors them, too.
        enlarged: Share of a batch that is seen at twice its size; in the loss the mean of both
            sizes counts half, whatever the share.
        frozen: Share of the steps, the last ones, in which batch norm no longer follows the
            batch. Statistics of both sizes are mixed in it; the network then learns to live with
            the mixture, which is what it is used with.

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
    precision: Literal["float32", "bfloat16"] = "float32"
    adversary: Adversary | None = None
    augment: Augment = "none"
    enlarged: float = 0.5
    frozen: float = 0.0

    def __post_init__(self) -> None:
        limits = {
            "epochs": 1,
            "batch_size": 2,
            "momentum": 0,
            "weight_decay": 0,
        }
        for name, least in limits.items():
            if not getattr(self, name) >= least:
                raise ConfigError(f"{name} is {getattr(self, name)}", hint=f"take {least} or more")
        if not self.lr > 0:
            raise ConfigError(f"lr is {self.lr}", hint="take a number above 0")
        if not 0 <= self.label_smoothing < 1:
            hint = "take 0 up to below 1"
            raise ConfigError(f"label_smoothing is {self.label_smoothing}", hint=hint)
        if self.augment not in get_args(Augment):
            hint = f"take {', '.join(get_args(Augment))}"
            raise ConfigError(f"no augmentation {self.augment!r}", hint=hint)
        if not 0 < round(self.enlarged * self.batch_size) < self.batch_size:
            raise ConfigError(
                f"enlarged is {self.enlarged}",
                hint="take a share that leaves images of both sizes in a batch, such as 0.5",
            )
        if not 0 <= self.frozen <= 1:
            raise ConfigError(f"frozen is {self.frozen}", hint="take a share from 0 to 1")
        check_seed(self.seed)

    @property
    def flags(self) -> dict[str, Any]:
        """The settings as the command line has them, those of an attack where there is one."""
        flags = asdict(self)
        attack = flags.pop("adversary")
        if attack:
            named = {"attack": "adversarial", "eps": "eps", "steps": "attack_steps"}
            flags |= {named[name]: value for name, value in attack.items()}
        return flags


def enlarge(x: Tensor, mode: str) -> Tensor:
    """Return images at twice their size, in [0, 1]."""
    if mode == "bicubic":
        return resize(x, (2 * x.shape[-2], 2 * x.shape[-1])).clamp(0.0, 1.0)
    return functional.interpolate(x, scale_factor=2, mode=mode)


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor, *, mode: str = "") -> float:
    """Return the share of uint8 images that `model` gets right, enlarged if a mode is named."""
    device = next(model.parameters()).device
    right, size = 0, at_once(images[0], _AT_ONCE)
    for x, y in zip(images.split(size), labels.split(size), strict=True):
        x = x.to(device).float() / 255
        x = enlarge(x, mode) if mode else x
        right += int((model(x).argmax(1) == y.to(device)).sum())
    return right / len(labels)


class _Draws:
    """Which images a step sees, and how a part of them is enlarged."""

    def __init__(self, images: int, settings: Settings) -> None:
        self.batches = images // settings.batch_size
        self._images, self._settings, self._epoch = images, settings, -1
        self._order: list[Tensor] = []
        self._modes: list[str] = []

    def __call__(self, step: int) -> tuple[Tensor, str]:
        """Return the places of the images, int64 `(batch_size,)`, and the interpolation."""
        epoch, number = divmod(step, self.batches)
        if epoch != self._epoch:
            self._draw(epoch)
        return self._order[number], self._modes[number]

    def _draw(self, epoch: int) -> None:
        # From (seed, epoch) alone: a resumed run draws the same.
        generator = torch.Generator().manual_seed(self._settings.seed * 100_003 + epoch)
        order = torch.randperm(self._images, generator=generator)
        self._order = list(order.split(self._settings.batch_size))
        chosen = [torch.randint(len(MODES), (), generator=generator) for _ in range(self.batches)]
        self._modes = [MODES[int(mode)] for mode in chosen]
        self._epoch = epoch


def train_classifier(
    model: nn.Module,
    train: Dataset,
    validation: Dataset,
    settings: Settings,
    *,
    extra: Mapping[str, Any],
    checkpoint: Path,
    resume: bool,
) -> Mapping[str, Any]:
    """Train `model` in place with SGD and a one-cycle schedule; return its metrics.

    A part of each batch is enlarged. With an adversary each part is attacked at the size that the
    network sees.

    Args:
        model: Classifier of images of any size.
        train: Images to train on.
        validation: Images to measure on after every epoch.
        settings: Hyper-parameters.
        extra: What else a checkpoint must agree on.
        checkpoint: File that holds the state.
        resume: Go on from it, bit for bit on a CPU.

    Raises:
        DataError: The data is smaller than a batch; see also `fit_network`.
    """
    size, attack = settings.batch_size, settings.adversary
    check_batch(train, size)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=settings.lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=settings.momentum > 0,
    )
    device = next(model.parameters()).device
    (images, labels), held_out = read_all(train), read_all(validation)
    draws = _Draws(len(labels), settings)

    steps = settings.epochs * draws.batches
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]

    def loss_of(step: int) -> Tensor:
        if step >= round((1 - settings.frozen) * steps):
            for norm in norms:
                norm.eval()
        batch, mode = draws(step)
        start = settings.seed * 1_000_003 + step
        seen = images[batch]
        if settings.augment != "none":
            seen = flip_crop(seen, start, mirror=settings.augment == "flip_crop")
        x, y = seen.to(device).float() / 255, labels[batch].to(device)
        cut = size - round(settings.enlarged * size)
        parts = ((x[:cut], y[:cut]), (enlarge(x[cut:], mode), y[cut:]))
        losses = []
        for place, (part, truth) in enumerate(parts):
            seed = 2 * start + place
            with autocast(device.type, settings.precision):
                shown = attack.examples(model, part, truth, seed) if attack else part
                logits = model(shown).float()
            losses.append(
                functional.cross_entropy(logits, truth, label_smoothing=settings.label_smoothing)
            )
        return (losses[0] + losses[1]) / 2

    fit = Fit(
        steps=steps,
        rate=rate_of("one_cycle", steps, settings.lr),
        every=draws.batches,
        average=0.0,
        settings={**settings.flags, **extra, "train": train.sha256},
        checkpoint=checkpoint,
        resume=resume,
    )
    validate = partial(_validate, data=held_out, adversary=attack)
    _, history = fit_network(fit, model, optimizer, loss_of, validate)
    return {"history": history, **measure(model, held_out, attack)}


def _validate(
    model: nn.Module, data: tuple[Tensor, Tensor], adversary: Adversary | None
) -> dict[str, float]:
    found = {"accuracy": accuracy(model, *data)}
    if adversary:
        images, labels = (part[:_ATTACKED] for part in data)
        found["adversarial_accuracy"] = adversary.accuracy(model, images, labels)
    return found


def measure(
    model: nn.Module, data: tuple[Tensor, Tensor], adversary: Adversary | None = None
) -> dict[str, float]:
    """Return the accuracy at the native size and at twice the size by each interpolation.

    With an adversary also that of the first 500 images under attack, at the native size and of
    images enlarged by bicubic, which are attacked as they are then.
    """
    model.eval()
    found = {
        "accuracy": accuracy(model, *data),
        **{f"accuracy_x2_{mode}": accuracy(model, *data, mode=mode) for mode in MODES},
    }
    if adversary:
        images, labels = (part[:_MEASURED] for part in data)
        twice = partial(enlarge, mode="bicubic")
        found["adversarial_accuracy"] = adversary.accuracy(model, images, labels)
        found["adversarial_accuracy_x2_bicubic"] = adversary.accuracy(
            model, images, labels, prepare=twice
        )
    return found
