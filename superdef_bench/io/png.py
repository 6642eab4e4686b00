"""A PNG written a few rows at a time, so that a large image is never in memory as a whole."""

import struct
import zlib
from typing import BinaryIO

import numpy as np

_GREY, _RGB = 0, 2  # kinds of colour
_UP = 2  # the filter that takes the row above away
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class PngRows:
    """An image of 8 bits that is written from top to bottom.

    Args:
        file: Where to write.
        width: In pixels.
        height: In pixels.
        channels: 1 or 3.
    """

    def __init__(self, file: BinaryIO, width: int, height: int, channels: int) -> None:
        self._file, self._packer = file, zlib.compressobj()
        self._above = np.zeros((1, width * channels), np.uint8)
        kind = _GREY if channels == 1 else _RGB
        file.write(_SIGNATURE)
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))

    def write(self, rows: np.ndarray) -> None:
        """Write rows, uint8 `(rows, width, channels)`."""
        flat = rows.reshape(len(rows), -1)
        filtered = np.full((len(flat), flat.shape[1] + 1), _UP, np.uint8)
        np.subtract(flat, np.concatenate([self._above, flat[:-1]]), out=filtered[:, 1:])
        self._above = flat[-1:].copy()
        self._chunk(b"IDAT", self._packer.compress(filtered.tobytes()))

    def close(self) -> None:
        """Write what ends the image."""
        self._chunk(b"IDAT", self._packer.flush())
        self._chunk(b"IEND", b"")

    def _chunk(self, name: bytes, content: bytes) -> None:
        if content or name == b"IEND":
            check = struct.pack(">I", zlib.crc32(name + content))
            self._file.write(struct.pack(">I", len(content)) + name + content + check)
