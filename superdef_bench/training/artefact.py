"""What a recipe of super-resolution writes: weights and where they come from."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from superdef_bench.nn import SuperDef
from superdef_bench.training.loop import History
from superdef_bench.training.photographs import Photographs
from superdef_bench.training.super_resolution import RestorationSettings, uses_bfloat16
from superdef_bench.weights import save_weights


def save_network(
    out: Path,
    name: str,
    kind: str,
    network: nn.Module,
    settings: RestorationSettings,
    *,
    architecture: Mapping[str, Any],
    photographs: Photographs,
    history: History,
    extra: Mapping[str, Any],
    device: str,
) -> Sequence[Path]:
    """Write `name`.safetensors and its provenance; a SuperDef student is folded first."""
    described = dict(architecture)
    if isinstance(network, SuperDef):
        network, described = network.fold(), {**described, "folded": True}
    last = history[-1]
    precision = "bfloat16" if uses_bfloat16(device, settings.precision) else "float32"
    provenance = {
        "kind": kind,
        "recipe": kind,
        "settings": {**asdict(settings), "precision": precision, **extra},
        "architecture": described,
        "data": {
            "name": photographs.name,
            "sha256": photographs.sha256,
            "photographs": len(photographs.large) - settings.holdout,
        },
        "steps": settings.steps,
        "validation": {"photographs": settings.holdout, **last},
        "versions": {"torch": torch.__version__},
        "device": device.split(":")[0],
    }
    path = out / f"{name}.safetensors"
    save_weights(path, network.state_dict(), provenance)
    return [path, path.with_suffix(".json")]
