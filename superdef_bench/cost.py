"""What a protected classifier costs: parameters and multiply-accumulates."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from superdef_bench.transform import Protected


def parameters(module: nn.Module) -> int:
    """Return the number of parameters, shared ones counted once."""
    return sum(parameter.numel() for parameter in module.parameters())


def gmac(module: Protected, x: Tensor, *, stages_only: bool) -> float:
    """Return giga multiply-accumulates of one forward pass over images `x`.

    Counts convolutions and matrix products, as torch dispatches them; element-wise work,
    resizing and everything outside torch counts 0.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module.defend(x) if stages_only else module(x)
    return float(counter.get_total_flops()) / 2e9


def cost_rows(defense: str, model: str, protected: Protected, x: Tensor) -> list[dict[str, Any]]:
    """Return the cost of the defense alone and of the whole pipeline, for one image `x`."""
    view = protected.view("exact")
    counts = {
        "defense": (parameters(view.stages), gmac(view, x, stages_only=True)),
        "pipeline": (parameters(view), gmac(view, x, stages_only=False)),
    }
    return [
        {
            "defense": defense,
            "model": model,
            "scope": scope,
            "batch_size": 1,
            "size": list(x.shape[-2:]),
            "dtype": "float32",
            "mode": "eager",
            "params": params,
            "gmac": round(work, 6),
            "gflop": round(2 * work, 6),
        }
        for scope, (params, work) in counts.items()
    ]
