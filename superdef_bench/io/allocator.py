"""The C library's allocator: freed memory stays with the process."""

import ctypes
import os
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_KEPT = 2**30  # bytes of freed memory that stay
_LARGEST = 2**25  # bytes of a block that is kept when it is freed; the most that glibc allows
_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Have the process keep the memory that it frees; return whether it does now.

    By default glibc gives feature maps back to the system and asks for them again at every step of
    an attack: the system clears each page anew, which takes a part of the time of PGD on small
    images (tests/benchmarks/test_peers.py). Numbers do not change. Whoever set the allocator by the
    environment keeps what he set.
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in _SETTINGS):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_TRIM_THRESHOLD, _KEPT) and mallopt(_MMAP_THRESHOLD, _LARGEST))
