"""The machine: versions, device, numerics, memory."""

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superdef_bench.core.calls import reason
from superdef_bench.core.errors import ConfigError

if TYPE_CHECKING:
    import torch

_PACKAGES = (
    "superdef-bench",
    "torch",
    "torchvision",
    "numpy",
    "foolbox",
    "pyautoattack",
    "ptwt",
    "pillow",
)
_EXTRAS = ("torchattacks", "transformers", "onnx", "onnx2torch", "onnxruntime")


def versions() -> dict[str, str]:
    """Return the versions of Python and of what numbers depend on; of extras, if they are here."""
    found = {"python": platform.python_version()}
    for package in (*_PACKAGES, *_EXTRAS):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            if package in _PACKAGES:
                found[package] = "unknown"
    return found


def machine(device: str) -> dict[str, Any]:
    """Return processor, cores and memory, and the GPU if `device` is one."""
    found: dict[str, Any] = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "device": device.split(":")[0],
    }
    if device.startswith("cuda"):
        import torch

        found["gpu"] = torch.cuda.get_device_name(device)
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory_gib() -> int | None:
    try:
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None
    return round(pages * size / 2**30)


def fix_numerics() -> None:
    """Full float32 on a GPU, the same kernels every time."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on a GPU or not."""
    text = reason(error).lower()
    signs = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate")
    return isinstance(error, MemoryError) or any(sign in text for sign in signs)


def choose_device(name: str) -> "torch.device":
    """Return the device that `auto`, `cpu`, `cuda` or `cuda:1` means.

    Raises:
        ConfigError: There is no such device.
    """
    import torch

    wanted = ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    if wanted.partition(":")[0] == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"device {name!r}: this torch sees no GPU",
            hint="take auto or cpu; a GPU takes its driver and a torch that was built for it",
        )
    try:
        device = torch.device(wanted)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"device {name!r} cannot be used: {type(error).__name__}",
            hint="take auto, cpu or cuda",
        ) from error
    return device
