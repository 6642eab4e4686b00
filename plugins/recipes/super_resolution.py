"""Train EDSR and RCAN on photographs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from superdef_bench import Task, hookimpl
from superdef_bench.nn import architecture, build_network
from superdef_bench.training import (
    Precision,
    RestorationSettings,
    Schedule,
    photographs_of,
    save_network,
    train_super_resolution,
)


def _train(
    network: str,
    size: str,
    scale: int,
    settings: RestorationSettings,
    *,
    data: str,
    out: Path,
    device: str,
    resume: bool,
) -> Sequence[Path]:
    described = architecture(network, size, scale)
    kind = network.lower()
    name = f"{kind}_{size}_x{scale}"
    torch.manual_seed(settings.seed)
    model = build_network(described)
    photographs = photographs_of(data, scale, least=settings.holdout + 1)
    best, history = train_super_resolution(
        model,
        photographs,
        settings,
        extra={"network": described},
        device=device,
        checkpoint=out / f"{name}.checkpoint.safetensors",
        resume=resume,
    )
    return save_network(
        out,
        name,
        kind,
        best,
        settings,
        architecture=described,
        photographs=photographs,
        history=history,
        extra={},
        device=device,
    )


class EdsrRecipe:
    """EDSR (Lim et al., CVPRW 2017) on pairs of patches: L1, flips and turns, Adam.

    The small patches are bicubic (a = -0.5, antialiased), rounded to 8 bits.
    """

    data = "data/bsds500"

    def train(
        self,
        task: Task | None,
        *,
        data: str,
        out: Path,
        device: str,
        resume: bool,
        size: str = "16x64",
        scale: int = 2,
        steps: int = 8000,
        batch_size: int = 16,
        patch: int = 32,
        lr: float = 1e-3,
        schedule: Schedule = "one_cycle",
        average: float = 0.999,
        holdout: int = 10,
        every: int = 1000,
        precision: Precision = "auto",
        seed: int = 0,
    ) -> Sequence[Path]:
        """Train on a folder or a zip of photographs, or on the images of a dataset plugin.

        Args:
            task: Not used.
            data: Folder, zip, or name of a dataset plugin.
            out: Folder for the checkpoint and the weights.
            device: Where to train.
            resume: Go on from the checkpoint in `out`.
            size: Blocks x features; 16x64 is the baseline, 32x256 the large network.
            scale: 2, 3 or 4.
            steps: Optimiser steps.
            batch_size: Pairs of patches per step.
            patch: Side of a small patch in pixels.
            lr: Peak learning rate of Adam.
            schedule: one_cycle or cosine.
            average: Decay of the average of the weights that is kept; 0 keeps the last ones.
            holdout: Photographs kept for validation, the last ones by name.
            every: Steps between validations.
            precision: auto, float32 or bfloat16; auto takes bfloat16 where the hardware has it.
            seed: Seed of weights and patches.

        Returns:
            The weights (safetensors) and their provenance (JSON).
        """
        settings = RestorationSettings(
            steps, batch_size, patch, lr, schedule, average, holdout, every, precision, seed
        )
        return _train(
            "EDSR", size, scale, settings, data=data, out=out, device=device, resume=resume
        )


class RcanRecipe:
    """RCAN (Zhang et al., ECCV 2018), the teacher, on pairs of patches: L1, Adam.

    The small patches are bicubic (a = -0.5, antialiased), rounded to 8 bits.
    """

    data = "data/bsds500"

    def train(
        self,
        task: Task | None,
        *,
        data: str,
        out: Path,
        device: str,
        resume: bool,
        size: str = "4x4x32",
        scale: int = 2,
        steps: int = 8000,
        batch_size: int = 16,
        patch: int = 32,
        lr: float = 1e-3,
        schedule: Schedule = "one_cycle",
        average: float = 0.999,
        holdout: int = 10,
        every: int = 1000,
        precision: Precision = "auto",
        seed: int = 0,
    ) -> Sequence[Path]:
        """Train on a folder or a zip of photographs, or on the images of a dataset plugin.

        Args:
            task: Not used.
            data: Folder, zip, or name of a dataset plugin.
            out: Folder for the checkpoint and the weights.
            device: Where to train.
            resume: Go on from the checkpoint in `out`.
            size: Groups x blocks x features; 10x20x64 as published, too large for a CPU.
            scale: 2, 3 or 4.
            steps: Optimiser steps.
            batch_size: Pairs of patches per step.
            patch: Side of a small patch in pixels.
            lr: Peak learning rate of Adam.
            schedule: one_cycle or cosine.
            average: Decay of the average of the weights that is kept; 0 keeps the last ones.
            holdout: Photographs kept for validation, the last ones by name.
            every: Steps between validations.
            precision: auto, float32 or bfloat16; auto takes bfloat16 where the hardware has it.
            seed: Seed of weights and patches.

        Returns:
            The weights (safetensors) and their provenance (JSON).
        """
        settings = RestorationSettings(
            steps, batch_size, patch, lr, schedule, average, holdout, every, precision, seed
        )
        return _train(
            "RCAN", size, scale, settings, data=data, out=out, device=device, resume=resume
        )


@hookimpl
def register_recipes() -> dict[str, Callable[[], Any]]:
    return {"edsr": EdsrRecipe, "rcan": RcanRecipe}
