"""From a recipe's settings to weights and the record of where they come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from superdef_bench.fingerprint import tensors
from superdef_bench.nn import SuperDef, architecture, build_network
from superdef_bench.training.loop import History
from superdef_bench.training.photographs import Photographs
from superdef_bench.training.sources import photographs_of
from superdef_bench.training.super_resolution import (
    LARGEST,
    Draw,
    Loss,
    RestorationSettings,
    pixel_loss,
    train_super_resolution,
)
from superdef_bench.weights import save_weights


@dataclass(frozen=True)
class Restoration:
    """A super-resolution network to train.

    Args:
        kind: Recipe, and what defenses look the weights up by.
        name: Of the files, without ending.
        architecture: As `nn.architecture` returns it.
        settings: Hyper-parameters.
        data: Folder, zip or dataset plugin.
        out: Folder for checkpoint and weights.
        device: Where to train.
        resume: Go on from the checkpoint.
    """

    kind: str
    name: str
    architecture: Mapping[str, Any]
    settings: RestorationSettings
    data: str
    out: Path
    device: str
    resume: bool

    def loss_settings(self) -> Mapping[str, Any]:
        """Return what the loss depends on, for checkpoint and provenance."""
        return {}

    def loss(self, network: nn.Module, photographs: Photographs) -> tuple[Loss, Draw | None]:
        """Return the loss to train `network` by, and what draws its batches if not pairs."""
        return pixel_loss, None

    def train(self) -> Sequence[Path]:
        """Train and write the weights (safetensors) and their provenance (JSON).

        Raises:
            ConfigError: Settings and photographs do not fit.
            DataError: Photographs or checkpoint cannot be used, or the training failed.
        """
        torch.manual_seed(self.settings.seed)
        network = build_network(self.architecture)
        holdout = self.settings.holdout
        photographs = photographs_of(self.data, network.scale, least=holdout + 1)  # type: ignore[arg-type]  # an int in every network of the catalogue
        loss, draw = self.loss(network, photographs.split(holdout)[0])
        best, history = train_super_resolution(
            network,
            photographs,
            self.settings,
            loss=loss,
            draw=draw,
            extra={"network": self.architecture, **self.loss_settings()},
            device=self.device,
            checkpoint=self.out / f"{self.name}.checkpoint.safetensors",
            resume=self.resume,
        )
        return self._save(best, photographs, history)

    def _save(
        self, network: nn.Module, photographs: Photographs, history: History
    ) -> Sequence[Path]:
        described = dict(self.architecture)
        if isinstance(network, SuperDef):
            network, described = network.fold(), {**described, "folded": True}
        settings = {**self.settings.on(self.device), **self.loss_settings()}
        holdout = self.settings.holdout
        provenance = {
            "kind": self.kind,
            "recipe": self.kind,
            "settings": settings,
            "architecture": described,
            "data": {
                "name": photographs.name,
                "sha256": photographs.sha256,
                "photographs": len(photographs.large) - holdout,
            },
            "steps": self.settings.steps,
            "validation": {"photographs": holdout, "middle": LARGEST, **history[-1]},
            "device": self.device.split(":")[0],
            "versions": {"torch": torch.__version__},
        }
        path = self.out / f"{self.name}.safetensors"
        save_weights(path, network.state_dict(), provenance)
        return [path, path.with_suffix(".json")]


def plain_size(size: str) -> str:
    """Return a size as files are named by it: no leading zeros, a small x."""
    words = size.lower().split("x")
    return "x".join(str(int(w)) if w.isascii() and w.isdecimal() else w for w in words)


def described(network: str, size: str, scale: int) -> dict[str, Any]:
    """Return the architecture of a size; three numbers of a SuperDef student mean an RCAN."""
    kind = "RCAN" if network == "SuperDef" and size.lower().count("x") == 2 else network
    return architecture(kind, size, scale)


def network_sha256(network: nn.Module) -> str:
    """Return the hash of a network's weights, whatever file they came from."""
    return tensors(network.state_dict())
