"""What holds for the whole process while something long runs: numerics and signals."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch


def fix_numerics() -> None:
    """Full float32 on a GPU, the same kernels every time."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


@contextmanager
def stoppable() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread, where no signal arrives
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def out_of_memory(error: Exception) -> bool:
    """Return whether an error says that memory ran out, on a GPU or not."""
    text = str(error).lower()
    signs = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate")
    return isinstance(error, MemoryError) or any(sign in text for sign in signs)
