"""The reference AutoAttack under the name that RobustBench imports.

RobustBench imports a module `autoattack`. The package index has only `pyautoattack`, the same
code in a module of that name, whose constructor has no `log_path` and whose
`run_standard_evaluation` takes `batch_size` for `bs` and returns labels beside the images.
`install_alias` puts a module `autoattack` with the original signatures in place, and leaves a
real one alone where it is installed.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pyautoattack
import pyautoattack.state
from torch import Tensor, nn


class AutoAttack(pyautoattack.AutoAttack):  # type: ignore[misc]  # the base is untyped
    """pyautoattack with the signatures of the original."""

    def __init__(
        self,
        model: nn.Module,
        norm: str = "Linf",
        eps: float = 0.3,
        seed: int | None = None,
        verbose: bool = True,
        attacks_to_run: list[str] | None = None,
        version: str = "standard",
        is_tf_model: bool = False,
        device: Any = "cuda",
        log_path: str | None = None,
    ) -> None:
        if is_tf_model or log_path is not None:
            raise TypeError(
                "pyautoattack logs through the logger 'auto-attack' and runs torch only"
            )
        super().__init__(
            model,
            attacks=attacks_to_run or None,
            device=device,
            eps=eps,
            norm=norm,
            seed=seed,
            version=version,
        )
        self.verbose = verbose

    def run_standard_evaluation(
        self,
        x_orig: Tensor,
        y_orig: Tensor,
        bs: int = 250,
        return_labels: bool = False,
        state_path: Path | None = None,
    ) -> Any:
        """Return adversarial images `(N, C, H, W)`, with their predicted labels if asked."""
        images, labels = super().run_standard_evaluation(
            x_orig, y_orig, batch_size=bs, state_path=state_path
        )
        return (images, labels) if return_labels else images


def install_alias() -> ModuleType:
    """Make `import autoattack` work, preferring a real one; return the module."""
    if "autoattack" in sys.modules:
        return sys.modules["autoattack"]
    if importlib.util.find_spec("autoattack") is not None:
        return importlib.import_module("autoattack")
    module = ModuleType("autoattack", __doc__)
    module.AutoAttack = AutoAttack  # type: ignore[attr-defined]  # a module made here
    module.state = pyautoattack.state  # type: ignore[attr-defined]  # a module made here
    module.__path__ = []
    sys.modules["autoattack"] = module
    sys.modules["autoattack.state"] = pyautoattack.state
    return module
