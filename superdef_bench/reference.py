"""How fast this machine is right now: the time of a fixed product of matrices."""

import time

import torch

_SIDE = 512
_ROUNDS = 9


@torch.no_grad()
def reference_ms(device: torch.device) -> float:
    """Return the median milliseconds of a 512x512 product in float32, a few ms in all.

    Measured beside latencies, so that those of two runs compare although the machine was busier
    during one of them.
    """
    numbers = torch.Generator().manual_seed(0)
    matrix = torch.rand(_SIDE, _SIDE, generator=numbers).to(device)
    taken = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        matrix @ matrix
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(1000 * (time.perf_counter() - start))
    return sorted(taken)[_ROUNDS // 2]
