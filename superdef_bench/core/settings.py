"""Settings of the process that plugin code must not leave changed, and the global generators."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from superdef_bench.core.clock import checking


@dataclass(frozen=True)
class _Setting:
    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]


def _hooks() -> list[dict[Any, Any]]:
    """Return the hooks of all modules that there are, as torch keeps them."""
    named = vars(torch.nn.modules.module).items()
    return [hooks for name, hooks in named if name.startswith("_global_") and "hooks" in name]


def _put_hooks(before: list[dict[Any, Any]]) -> None:
    for now, hooks in zip(_hooks(), before, strict=True):
        now.clear()
        now.update(hooks)


_SETTINGS = (
    _Setting("hooks of all modules", lambda: [dict(hooks) for hooks in _hooks()], _put_hooks),
    _Setting("the grad mode", torch.is_grad_enabled, torch.set_grad_enabled),
    _Setting("the default dtype", torch.get_default_dtype, torch.set_default_dtype),
    _Setting(
        "deterministic algorithms",
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    _Setting(
        "the precision of products",
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
)


class Settings:
    """Settings of the process: grad mode, default dtype, kernels, global generators.

    The number of threads changes no verdict; it is put back without a word.
    """

    def __init__(self) -> None:
        self._before = [setting.read() for setting in _SETTINGS]
        self._threads = torch.get_num_threads()
        self._generators = Generators()

    def changes(self, *, drawn: bool = True) -> list[str]:
        """Return what changed since the start; it is put back.

        Args:
            drawn: Whether it counts as a change that a global generator was drawn from.
        """
        with checking():
            found = []
            for setting, before in zip(_SETTINGS, self._before, strict=True):
                if setting.read() != before:
                    setting.write(before)
                    found.append(setting.name)
            if torch.get_num_threads() != self._threads:
                torch.set_num_threads(self._threads)
            if self._generators.used():
                self._generators.restore()
                found += [GENERATORS] * drawn
            return found


GENERATORS = "the global generators"


class Generators:
    """The states of the global generators: torch on each device, NumPy, Python."""

    def __init__(self) -> None:
        self._torch, self._numpy = torch.get_rng_state(), np.random.get_state()
        self._python = random.getstate()
        self._cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []

    @staticmethod
    def seed(seed: int) -> None:
        """Seed them all with one number below 2^32."""
        torch.manual_seed(seed)
        np.random.seed(seed)  # it is the global one that third-party code uses
        random.seed(seed)

    def used(self) -> bool:
        """Return whether one was drawn from or seeded since."""
        cuda = torch.cuda.get_rng_state_all() if self._cuda else []
        return not (
            torch.equal(torch.get_rng_state(), self._torch)
            and _numpy_key(np.random.get_state()) == _numpy_key(self._numpy)
            and random.getstate() == self._python
            and all(map(torch.equal, self._cuda, cuda))
        )

    def restore(self) -> None:
        """Put back the states that they had."""
        torch.set_rng_state(self._torch)
        np.random.set_state(self._numpy)
        random.setstate(self._python)
        if self._cuda:
            torch.cuda.set_rng_state_all(self._cuda)


def _numpy_key(state: Any) -> tuple[bytes, int]:
    _, keys, place, *_ = state
    return np.asarray(keys).tobytes(), int(place)
