"""Train a super-resolution network on pairs of patches."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from superdef_bench.core.errors import ConfigError, DataError
from superdef_bench.core.transform import resize
from superdef_bench.nn.quality import psnr_y
from superdef_bench.training.loop import Fit, History, Schedule, check_seed, fit_network, rate_of
from superdef_bench.training.photographs import Photographs

Precision = Literal["auto", "float32", "bfloat16"]
Network = Callable[[Tensor], Tensor]
Loss = Callable[..., Tensor]
Draw = Callable[[int], Sequence[Tensor]]

LARGEST = 192  # side of the middle of a small photograph that a validation restores


@dataclass(frozen=True)
class RestorationSettings:
    """Hyper-parameters that all recipes of super-resolution share.

    Args:
        steps: Optimiser steps.
        batch_size: Pairs per step.
        patch: Side of a small patch in pixels.
        lr: Peak learning rate of Adam.
        schedule: Its shape.
        average: Decay of the average of the weights that is kept; 0 keeps the last ones.
        holdout: Photographs kept for validation, the last ones by name.
        every: Steps between validations.
        precision: `bfloat16` runs convolutions in it; `auto` does where the hardware has it.
        seed: Seed of weights, patches and noise.

    Raises:
        ConfigError: One is out of its range.
    """

    steps: int
    batch_size: int
    patch: int
    lr: float
    schedule: Schedule
    average: float
    holdout: int
    every: int
    precision: Precision
    seed: int

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "patch", "holdout", "every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}", hint="take 1 or more")
        if not self.lr > 0:
            raise ConfigError(f"lr is {self.lr}", hint="take a number above 0")
        if not 0 <= self.average < 1:
            raise ConfigError(f"average is {self.average}", hint="take 0 up to below 1")
        check_seed(self.seed)

    def on(self, device: str) -> dict[str, Any]:
        """Return the settings with the precision that `auto` means on `device`."""
        lower = uses_bfloat16(device, self.precision)
        return {**asdict(self), "precision": "bfloat16" if lower else "float32"}


def has_bfloat16(device: str) -> bool:
    """Return whether `device` computes convolutions in bfloat16 faster than in float32."""
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())


def uses_bfloat16(device: str, precision: Precision) -> bool:
    """Return what `precision` means on `device`."""
    return has_bfloat16(device) if precision == "auto" else precision == "bfloat16"


def autocast(device: str, precision: Precision) -> AbstractContextManager[None]:
    """Return the context in which the network runs; images and losses stay in float32."""
    wanted = uses_bfloat16(device, precision)
    return torch.autocast(device.split(":")[0], torch.bfloat16, enabled=wanted)


def pixel_loss(network: Network, step: int, small: Tensor, large: Tensor) -> Tensor:
    """Return the mean absolute error, as EDSR and RCAN are trained."""
    return (network(small) - large).abs().mean()


def train_super_resolution(
    network: nn.Module,
    photographs: Photographs,
    settings: RestorationSettings,
    *,
    loss: Loss = pixel_loss,
    draw: Draw | None = None,
    extra: Mapping[str, Any],
    device: str,
    checkpoint: Path,
    resume: bool,
) -> tuple[nn.Module, History]:
    """Train `network`; return the one to use and the history of its validation.

    Args:
        network: Takes images `(N, 3, h, w)` in [0, 1]; has `scale`.
        photographs: Those for training and, at the end, for validation.
        settings: Hyper-parameters.
        loss: Of the network in training precision, the number of the step, and a batch.
        draw: Returns the batch of a step; by default random pairs of the training photographs.
        extra: What else a checkpoint must agree on.
        device: Where to train.
        checkpoint: File that holds the state.
        resume: Go on from it.

    Raises:
        ConfigError: The patches do not fit.
        DataError: See `fit_network`.
    """
    train, held_out = photographs.split(settings.holdout)
    train.check_patch(settings.patch)
    measured = HeldOut.of(held_out)
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch lists no (device, memory_format)
    learned = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(learned, lr=settings.lr)

    def run(small: Tensor) -> Tensor:
        with autocast(device, settings.precision):
            out: Tensor = network(small)
        return out.float()

    def pairs(step: int) -> Sequence[Tensor]:
        seed = settings.seed * 1_000_003 + step
        return train.patches(settings.batch_size, settings.patch, seed)

    def loss_of(step: int) -> Tensor:
        batch = (draw or pairs)(step)
        moved = (side.to(device, memory_format=torch.channels_last) for side in batch)
        return loss(run, step, *moved)

    fit = Fit(
        steps=settings.steps,
        rate=rate_of(settings.schedule, settings.steps, settings.lr),
        every=settings.every,
        average=settings.average,
        settings={
            **{k: v for k, v in settings.on(device).items() if k != "every"},
            **extra,
            "photographs": photographs.sha256,
        },
        checkpoint=checkpoint,
        resume=resume,
    )
    return fit_network(fit, network, optimizer, loss_of, measured.measure)


@dataclass(frozen=True)
class HeldOut:
    """The middles of photographs, small and large, to measure a network on.

    Attributes:
        pairs: `(1, 3, h, w)` and `(1, 3, H, W)` in [0, 1], `LARGEST` small pixels at most a side.
        scale: 2, 3 or 4.
        bicubic: Mean PSNR of bicubic enlargement in dB.
    """

    pairs: Sequence[tuple[Tensor, Tensor]]
    scale: int
    bicubic: float

    @classmethod
    def of(cls, photographs: Photographs) -> "HeldOut":
        """Return the middles of `photographs`.

        Raises:
            DataError: One is too small to have a PSNR, or so flat that nothing can be wrong in it.
        """
        scale, pairs, found = photographs.scale, [], []
        sides = zip(photographs.names, photographs.small, photographs.large, strict=True)
        for name, small, large in sides:
            top, left = (max(side - LARGEST, 0) // 2 for side in small.shape[1:])
            x = _cut(small, top, left, LARGEST)
            reference = _cut(large, scale * top, scale * left, scale * LARGEST)
            plain = resize(x, (reference.shape[-2], reference.shape[-1])).clamp(0.0, 1.0)
            value = float(psnr_y(plain, reference, scale))
            if not math.isfinite(value):
                raise DataError(
                    f"photograph {name}, held out for validation, is too small or of one colour",
                    hint="take it out, or rename it so that another comes last",
                )
            pairs.append((x, reference))
            found.append(value)
        return cls(pairs, scale, sum(found) / len(found))

    @torch.no_grad()
    def measure(self, network: nn.Module) -> dict[str, float]:
        """Return the mean PSNR of `network` in dB (luma), and that of bicubic enlargement."""
        device = next(network.parameters()).device
        found = [
            psnr_y(network(x.to(device)).clamp(0.0, 1.0), reference.to(device), self.scale)
            for x, reference in self.pairs
        ]
        return {"psnr": float(torch.cat(found).mean()), "bicubic_psnr": self.bicubic}


def _cut(image: Tensor, top: int, left: int, side: int) -> Tensor:
    """Return a square of a uint8 image `(3, H, W)` as float `(1, 3, h, w)` in [0, 1]."""
    return image[None, :, top : top + side, left : left + side].float() / 255
