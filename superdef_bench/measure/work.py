"""What a pass takes, counted: parameters, multiply-accumulates, operations, bytes."""

import copy
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from superdef_bench.core.transform import Protected
from superdef_bench.results.facts import SCOPES


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


@dataclass(frozen=True)
class Work:
    """What one pass takes, counted: the same on every machine.

    Attributes:
        params: Parameters, shared ones counted once.
        gmac: Giga multiply-accumulates of convolutions and matrix products.
        ops: Operations that torch dispatches; views are none.
        moved: Bytes, if each operation reads its tensors and writes its results once.
        fused: Bytes, if everything else happens inside convolutions and matrix products: what
            those move, the images and the result. No implementation moves less without
            joining convolutions.
        memory: Bytes of the tensors alive at once, weights and images among them.
    """

    params: int
    gmac: float
    ops: int
    moved: int
    fused: int
    memory: int

    def of_batch(self, n: int) -> "Work":
        """Return the work of a pass of `n` images, of that of one; weights are read once."""
        weights = 4 * self.params
        moved, fused, memory = (
            weights + n * max(0, one - weights) for one in (self.moved, self.fused, self.memory)
        )
        return Work(self.params, n * self.gmac, self.ops, moved, fused, memory)


def parameters(module: nn.Module) -> int:
    """Return the number of parameters, shared ones counted once."""
    return sum(parameter.numel() for parameter in module.parameters())


def gmac(module: Protected, x: Tensor, *, stages_only: bool) -> float:
    """Return giga multiply-accumulates of one forward pass over images `x`.

    Counts convolutions and matrix products, as torch dispatches them; element-wise work,
    resizing and everything outside torch counts 0.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module.defend(x) if stages_only else module(x)
    return float(counter.get_total_flops()) / 2e9


def work_of(
    protected: Protected, shape: tuple[int, ...], *, device: torch.device
) -> dict[str, Work]:
    """Return the work of the defense alone and of the whole pipeline, for images of a shape.

    It is counted on tensors without values; a defense that looks at values, or leaves torch, is
    run once on grey images on `device`.

    Raises:
        Exception: Whatever the defense raises on those.
    """
    try:
        bare = copy.deepcopy(protected.view("exact")).to("meta")
        return _count(bare, torch.empty(shape, device="meta"))
    except KeyboardInterrupt:
        raise
    except BaseException:
        return _count(protected.view("exact"), torch.full(shape, 0.5, device=device))


@torch.no_grad()
def _count(view: Protected, x: Tensor) -> dict[str, Work]:
    with FlopCounterMode(display=False) as counter, Ledger() as ledger:
        own = ledger.part()
        defended = view.defend(x)
        own_flops = counter.get_total_flops()
        rest = ledger.part()
        logits = view.classify(defended, len(x))
    both = Tally(
        own.ops + rest.ops,
        own.moved + rest.moved,
        own.multiplied + rest.multiplied,
        max(own.peak, rest.peak),
    )
    parts = (
        (view.defense, own, own_flops, defended),
        (view, both, counter.get_total_flops(), logits),
    )
    return {
        scope: Work(
            params=parameters(module),
            gmac=float(flops) / 2e9,
            ops=tally.ops,
            moved=tally.moved,
            fused=tally.multiplied + (x.nbytes + result.nbytes) * (result is not x),
            memory=tally.peak + x.nbytes + held(module),
        )
        for scope, (module, tally, flops, result) in zip(SCOPES, parts, strict=True)
    }


def held(module: nn.Module) -> int:
    """Return the bytes of weights and buffers."""
    return sum(t.nbytes for t in (*module.parameters(), *module.buffers()))


def cost_rows(
    defense: str, model: str, work: Mapping[str, Work], size: Sequence[int], *, digits: int = 6
) -> list[dict[str, Any]]:
    """Return the rows of a results file, of the defense alone and of the whole pipeline.

    Args:
        defense: Name of the row.
        model: Name of the classifier.
        work: What one image takes, by scope.
        size: Height and width of the image.
        digits: To round giga operations to.
    """
    return [
        {
            "defense": defense,
            "model": model,
            "scope": scope,
            "batch_size": 1,
            "size": list(size),
            "dtype": "float32",
            "mode": "eager",
            "params": found.params,
            "gmac": round(found.gmac, digits),
            "gflop": round(2 * found.gmac, digits),
            "ops": found.ops,
            "bytes": found.moved,
            "bytes_fused": found.fused,
            "memory": found.memory,
        }
        for scope, found in work.items()
    ]
