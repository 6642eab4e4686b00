"""From a recipe's settings to weights and the record of where they come from."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from superdef_bench.core.errors import ConfigError
from superdef_bench.core.fingerprint import tensors
from superdef_bench.nn import SuperDef, build_network, load_network, network_facts
from superdef_bench.nn.pretrained import fill
from superdef_bench.nn.weights import save_weights
from superdef_bench.training.data import photographs_of
from superdef_bench.training.loop import History
from superdef_bench.training.photographs import Photographs
from superdef_bench.training.super_resolution import (
    LARGEST,
    Draw,
    HeldOut,
    Loss,
    RestorationSettings,
    pixel_loss,
    train_super_resolution,
)

_LOST = 0.01  # dB of the held-out photographs that half precision in the file may cost


@dataclass(frozen=True)
class Restoration:
    """A super-resolution network to train.

    Args:
        kind: Recipe, and what defenses look the weights up by.
        architecture: As `nn.architecture` returns it.
        settings: Hyper-parameters.
        data: Folder, zip or dataset plugin.
        out: Folder for checkpoint and weights.
        device: Where to train.
        resume: Go on from the checkpoint.
        init: Weights to begin with, of the same kind and size; empty for random ones.
    """

    kind: str
    architecture: Mapping[str, Any]
    settings: RestorationSettings
    data: str
    out: Path
    device: str
    resume: bool
    init: str = field(default="", kw_only=True)

    @property
    def name(self) -> str:
        """Name of the files, without ending, such as `superdef_8x48_x2_no_kd`."""
        stem, suffix, _ = self.kind.partition("_no_kd")
        return f"{stem}_{self._size}_x{self.architecture['scale']}{suffix}"

    @property
    def _size(self) -> str:
        sizes = [v for k, v in self.architecture.items() if k not in ("network", "scale")]
        return "x".join(map(str, sizes))

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
        network = self._begin(build_network(self.architecture))
        holdout = self.settings.holdout
        photographs = photographs_of(self.data, network.scale, least=holdout + 1)  # type: ignore[arg-type]  # an int in every network of the catalogue
        loss, draw = self.loss(network, photographs.split(holdout)[0])
        best, history = train_super_resolution(
            network,
            photographs,
            self.settings,
            loss=loss,
            draw=draw,
            extra={"network": self.architecture, **self._origin(), **self.loss_settings()},
            device=self.device,
            checkpoint=self.out / f"{self.name}.checkpoint.safetensors",
            resume=self.resume,
        )
        return self._save(best, photographs, history)

    def _begin(self, network: nn.Module) -> nn.Module:
        if self.init:
            if isinstance(network, SuperDef):
                raise ConfigError(
                    f"{self.kind} cannot begin with stored weights, which are folded",
                    hint="leave --init out",
                )
            scale = self.architecture["scale"]
            earlier = load_network(self.kind, scale=scale, weights=self.init)
            size = getattr(earlier, "size", self._size)
            if size != self._size:
                raise ConfigError(
                    f"weights {self.init} are of {self.kind} {size}, not {self._size}",
                    hint=f"--size {size}",
                )
            fill(network, earlier.state_dict(), Path(self.init), f"{self.kind} {self._size}")
        return network

    def _origin(self) -> dict[str, Any]:
        """Return what is known of the weights that the training begins with."""
        if not self.init:
            return {}
        scale = self.architecture["scale"]
        facts = network_facts(self.kind, scale=scale, weights=self.init)
        if not facts:  # published weights have no provenance
            network = load_network(self.kind, scale=scale, weights=self.init)
            facts = {"tensors_sha256": network_sha256(network)}
        return {"init": facts}

    def _save(
        self, network: nn.Module, photographs: Photographs, history: History
    ) -> Sequence[Path]:
        described = dict(self.architecture)
        if isinstance(network, SuperDef):
            network, described = network.fold(), {**described, "folded": True}
        settings = {**self.settings.on(self.device), **self._origin(), **self.loss_settings()}
        holdout = self.settings.holdout
        with torch.device("meta"):
            learned = [n for n, p in build_network(described).named_parameters() if p.requires_grad]
        measured = HeldOut.of(photographs.split(holdout)[1])
        state, stored = in_half(network, learned, measured)
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
            "stored": stored,
            "device": self.device.split(":")[0],
            "versions": {"torch": torch.__version__},
        }
        path = self.out / f"{self.name}.safetensors"
        save_weights(path, state, provenance)
        return [path, path.with_suffix(".json")]


def in_half(
    network: nn.Module, learned: Sequence[str], held_out: HeldOut
) -> tuple[Mapping[str, Tensor], dict[str, Any]]:
    """Return the weights as a file has them, and what is to be said of it.

    The tensors that are named `learned` are in half precision where that costs less than 0.01 dB.
    """
    state = network.state_dict()
    halved = {name: tensor.half() if name in learned else tensor for name, tensor in state.items()}
    rounded = copy.deepcopy(network)
    rounded.load_state_dict(halved)
    lost = held_out.measure(network)["psnr"] - held_out.measure(rounded)["psnr"]
    if lost < _LOST:
        return halved, {"precision": "float16", "psnr_lost": lost}
    return state, {"precision": "float32"}


def network_sha256(network: nn.Module) -> str:
    """Return the hash of a network's weights, whatever file they came from."""
    return tensors(network.state_dict())
