"""Cases of two engines of AutoAttack, made by hand."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from superdef_bench.results.facts import Machine
from superdef_bench.results.parity import EngineRun, Parity, Part
from superdef_bench.results.statistics import pack_bits, pack_floats

_MACHINE = Machine(processor="a processor", cores=2, memory_gib=8, device="cpu")


def _bits(places: Sequence[int], n: int) -> str:
    bits = np.zeros(n, dtype=bool)
    bits[list(places)] = True
    return pack_bits(bits)


def run_of(
    engine: str,
    broken: Sequence[int] | Mapping[str, Sequence[int]],
    n: int,
    *,
    seed: int = 0,
    alone: str = "",
) -> EngineRun:
    """Return a run that broke the images at these places, or after each part at these."""
    steps = broken if isinstance(broken, Mapping) else {alone or "apgd_ce": broken}
    parts = tuple(
        Part(name=name, broken=_bits(places, n), forwards=10.0, backwards=5.0, seconds=2.0)
        for name, places in steps.items()
    )
    return EngineRun.model_validate(
        {
            "engine": engine,
            "seed": seed,
            "alone": bool(alone),
            "n": n,
            "batch_size": n,
            "parts": parts,
            "versions": {"python": "3.11", "torch": "2"},
            "machine": _MACHINE,
        }
    )


def case(runs: Sequence[EngineRun], n: int, clean: NDArray[np.bool_] | None = None) -> Parity:
    """Return the case of these runs on `n` images."""
    return Parity(
        config="parity",
        dataset="signs",
        model="a_net",
        defense="none",
        rung="white_box",
        norm="linf",
        eps="8/255",
        n=n,
        attacked="0" * 64,
        clean=pack_bits(np.zeros(n, dtype=bool) if clean is None else clean),
        margins=pack_floats(np.zeros(n)),
        runs=tuple(runs),
    )
