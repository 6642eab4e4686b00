"""The zoo of RobustBench, and checkpoints of random weights where it looks for its own."""

from pathlib import Path
from typing import Any

import torch

from superdef_bench.nn.pretrained import guarded
from tests.support.plugin_files import plugin_module


def zoo(threat: str = "Linf", dataset: str = "cifar10") -> Any:
    """Return the models of the zoo by name."""
    plugin_module("models.robustbench.autoattack_alias").install_alias()
    with guarded():
        from robustbench.model_zoo import model_dicts
    return next(
        models
        for data, threats in model_dicts.items()
        for kind, models in threats.items()
        if (data.value, kind.value) == (dataset, threat)
    )


def write_zoo(data: Path, content: object = None, name: str = "Wong2020Fast") -> tuple[Path, Any]:
    """Write a checkpoint where RobustBench looks; by default random weights that fit."""
    torch.manual_seed(0)
    network = zoo()["Wong2020Fast"]["model"]().eval()
    # As in the zoo, the file lacks the normalisation, which the architecture has.
    state = {k: v for k, v in network.state_dict().items() if k not in ("mu", "sigma")}
    path = data / "models" / "cifar10" / "Linf" / f"{name}.pt"
    path.parent.mkdir(parents=True)
    torch.save(state if content is None else content, path)
    return path, network
