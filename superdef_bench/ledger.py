"""What torch dispatches in a pass: operations, bytes that they move, and tensors alive at once."""

import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


@dataclass
class Tally:
    """Sums over the operations of a part of a pass; views and sizes are no operations.

    Attributes:
        ops: Operations that compute.
        moved: Bytes, if each operation reads its tensors and writes its results once.
        multiplied: The part of it that convolutions and matrix products move.
        peak: Most bytes of results that were alive at once.
    """

    ops: int = 0
    moved: int = 0
    multiplied: int = 0
    peak: int = 0


class Ledger(TorchDispatchMode):
    """Writes down every operation that runs inside it, on tensors with or without values.

    Iterations of a loop are as many operations: what runs is counted, not what is written.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.tally = Tally()
        self._alive: dict[int, int] = {}

    def part(self) -> Tally:
        """Begin a part of the pass and return its sums, which grow; what is alive stays alive."""
        self.tally = Tally(peak=sum(self._alive.values()))
        return self.tally

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        read, written = list(_tensors((args, kwargs))), list(_tensors(out))
        if not func.is_view and (read or written):
            moved = sum(map(_bytes, read)) + sum(map(_bytes, written))
            self.tally.ops += 1
            self.tally.moved += moved
            self.tally.multiplied += moved * (func.overloadpacket in flop_registry)
        known = {tensor.untyped_storage()._cdata for tensor in read}
        for tensor in written:
            self._keep(tensor, known)
        self.tally.peak = max(self.tally.peak, sum(self._alive.values()))
        return out

    def _keep(self, tensor: Tensor, known: Iterable[int]) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in known and key not in self._alive:
            self._alive[key] = storage.nbytes()
            weakref.finalize(storage, self._alive.pop, key, None)


def _tensors(tree: Any) -> Iterator[Tensor]:
    seen: set[int] = set()
    for leaf in tree_leaves(tree):
        if isinstance(leaf, Tensor) and id(leaf) not in seen:
            seen.add(id(leaf))
            yield leaf


def _bytes(tensor: Tensor) -> int:
    """Return what a tensor takes; one that repeats its values holds each once."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())
