"""Counter-based randomness: the noise of an image depends on its id, never on its batch.

Philox4x32-10 of Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3" (SC 2011), on
int64 tensors. The key is a hash of (seed, stream, call), the counter holds (image id, draw,
block), so any batch size, order or sharding gives the same bits for the same image.
"""

import hashlib
import math

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10


def image_id(name: str) -> int:
    """Return the integer id of an image: the first 63 bits of the sha256 of its name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1


def _multiply(word: Tensor, multiplier: int) -> tuple[Tensor, Tensor]:
    """Return the high and low 32 bits of a 32 x 32 bit product held in wrapping int64."""
    product = word * multiplier
    return (product >> 32) & _MASK, product & _MASK


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[int, int]) -> list[Tensor]:
    """Run Philox4x32-10.

    Args:
        counter: Four broadcastable int64 tensors with values in [0, 2**32).
        key: Two integers in [0, 2**32).

    Returns:
        Four int64 tensors of the broadcast shape with values in [0, 2**32).
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        high0, low0 = _multiply(c0, _MULTIPLIERS[0])
        high1, low1 = _multiply(c2, _MULTIPLIERS[1])
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return [c0, c1, c2, c3]


class Random:
    """Random numbers per image, one row per id.

    Every call draws fresh numbers; the n-th call with the same (seed, stream, id, draw) always
    gives the same ones. `take` packs a subset and keeps each image's numbers.
    """

    def __init__(
        self, seed: int, stream: str, ids: Tensor, *, draws: Tensor | None = None, call: int = 0
    ) -> None:
        """Key the numbers.

        Args:
            seed: Seed of the run.
            stream: Name that keeps purposes apart, for example `attack/pgd`.
            ids: Image ids, int64 `(N,)`; the numbers come on their device.
            draws: Draw index of each row, int64 `(N,)` in [0, 2**32); zeros by default.
            call: Number of the first call.
        """
        self.seed, self.stream, self.ids = seed, stream, ids
        self.draws = torch.zeros_like(ids) if draws is None else draws
        self._call = call

    def take(self, index: Tensor) -> "Random":
        """Return the numbers of the rows `index`, to go on from the same call."""
        return Random(
            self.seed, self.stream, self.ids[index], draws=self.draws[index], call=self._call
        )

    def fork(self, name: str) -> "Random":
        """Return numbers of their own for a part of the work, the same whenever it is forked."""
        return Random(self.seed, f"{self.stream}/{name}", self.ids, draws=self.draws)

    def bits(self, count: int) -> Tensor:
        """Return `count` uniform 32-bit integers per image, int64 `(N, count)`."""
        digest = hashlib.sha256(f"{self.seed}/{self.stream}/{self._call}".encode()).digest()
        key = (int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:8], "big"))
        self._call += 1
        blocks = torch.arange(math.ceil(count / 4), device=self.ids.device)  # (B,)
        ids, draws = self.ids[:, None], self.draws[:, None]  # (N, 1)
        words = philox((blocks[None] + 0 * ids, draws, ids & _MASK, (ids >> 32) & _MASK), key)
        return torch.stack(words, dim=-1).flatten(1)[:, :count]  # (N, count)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Return float32 `(N, *shape)`, uniform in [low, high)."""
        unit = (self.bits(math.prod(shape)) >> 8).float() * 2.0**-24
        return (low + (high - low) * unit).reshape(self.ids.shape[0], *shape)

    def normal(self, *shape: int) -> Tensor:
        """Return float32 `(N, *shape)`, standard normal (Box-Muller, computed in float64)."""
        size = math.prod(shape)
        first, second = self.bits(2 * size).double().split(size, dim=1)
        radius = torch.sqrt(-2.0 * torch.log((first + 1.0) * 2.0**-32))
        return (
            (radius * torch.cos(2.0 * math.pi * 2.0**-32 * second))
            .float()
            .reshape(self.ids.shape[0], *shape)
        )

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Return int64 `(N, *shape)`, uniform in {low, ..., high - 1}.

        Raises:
            ValueError: `high` is not above `low`.
        """
        if high <= low:
            raise ValueError(f"integers needs low < high, got {low} and {high}")
        return (low + ((self.bits(math.prod(shape)) * (high - low)) >> 32)).reshape(
            self.ids.shape[0], *shape
        )
