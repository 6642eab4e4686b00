"""Notice what changed in networks, and put it back.

A plugin is handed live networks. One that changes them, by accident or not, changes the numbers of
all others. Version counters of torch do not tell: running statistics, `.data` and NumPy views
change without them, so the bytes are summed.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from operator import attrgetter, is_, methodcaller
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from superdef_bench.core.clock import checking

_DICTS = (dict, OrderedDict)
_PARTS = ("_parameters", "_buffers", "_modules")
_HOOKS = tuple(
    name
    for name, value in vars(nn.Identity()).items()
    if isinstance(value, _DICTS) and name not in _PARTS
)
_PLAIN = (bool, int, float, str, tuple)
_NOTHING: dict[Any, Any] = {}
_LISTED = 3


class Watch:
    """Remembers modules, to tell later what changed in them and to put it back.

    Watched are the bytes of all parameters and buffers and where they lie, submodules, hooks,
    `training`, and what else an instance holds: plain values, tensors and functions.
    """

    def __init__(self) -> None:
        self._modules: dict[int, _Module] = {}
        self._look = _Look([])
        self._weights = _Weights()

    def add(self, title: str, network: nn.Module) -> None:
        """Watch a network too, as it is now; parts that are watched already keep their name.

        Args:
            title: What messages call it.
            network: Any module.
        """
        with checking():
            for name, module in network.named_modules():
                if id(module) not in self._modules:
                    inside = f"{title}.{name}" if name else title
                    self._modules[id(module)] = new = _Module(title, inside, module)
                    self._weights.add(new.tensors())
            self._look = self._new_look()

    def settle(self, title: str) -> None:
        """Leave alone the plain values of a network that are others by now.

        Called after a pass through it: one that counts its calls or keeps its last features is
        no offender.

        Args:
            title: Its name; modules that another one had first are not its own.
        """
        for module in self._modules.values():
            if module.owner == title:
                module.settle()

    def changes(self) -> list[str]:
        """Return what changed since the start; it is put back."""
        with checking():
            found: list[str] = []
            if not self._look.is_the_same():
                found += [text for module in self._modules.values() for text in module.changes()]
                self._look = self._new_look()
            return found + self._weights.changes()

    def _new_look(self) -> "_Look":
        return _Look([module.watched for module in self._modules.values()])


class _Look:
    """All that modules hold, one by one: while each is the same object, nothing was touched.

    Thousands of things are looked at, hundreds of times in a run: by `map` no Python runs for each.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._modules = modules
        self._kinds = list(map(type, modules))
        self._codes = {kind: _code(kind) for kind in self._kinds}
        self._held = list(map(vars, modules))
        dicts = [v for held in self._held for v in held.values() if type(v) in _DICTS]
        self._dicts = [*self._held, *dicts]
        self._full = [each for each in self._dicts if each]
        self._lengths = list(map(len, self._dicts))
        self._parts = list(self._all())  # it keeps them alive, so that no other takes their place

    def _all(self) -> Iterator[object]:
        return chain.from_iterable(map(methodcaller("values"), self._full))

    def is_the_same(self) -> bool:
        """Return whether all is as it was."""
        return (
            list(map(len, self._dicts)) == self._lengths
            and all(map(is_, self._all(), self._parts))
            and list(map(type, self._modules)) == self._kinds
            and all(_code(kind) is code for kind, code in self._codes.items())
        )


def _code(kind: type) -> object:
    """Return what runs in a pass; a scripted module has it elsewhere, and no such attribute."""
    return None if issubclass(kind, torch.jit.ScriptModule) else getattr(kind, "forward", None)


class _Module:
    """One module: what it is made of, without the bytes of its tensors."""

    def __init__(self, owner: str, name: str, module: nn.Module) -> None:
        self.owner, self._name, self.watched = owner, name, module
        held = vars(module)
        # A scripted module keeps its parts elsewhere, where no plugin reaches but their bytes.
        kept = (key for key in (*_PARTS, *_HOOKS) if type(held.get(key)) in _DICTS)
        self._parts = {key: dict(held[key]) for key in kept}
        self._training, self._type = module.training, type(module)
        self._forward = _code(type(module))
        self._keys = set(held)
        self._values = {key: value for key, value in held.items() if _is_value(key, value)}
        self._look = _Look([module])

    def _rewritten(self) -> bool:
        return self._forward is not None and self._type.forward is not self._forward

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield all tensors by name: parameters, buffers, and those that are plain attributes."""
        module = self.watched
        own = chain(module.named_parameters(recurse=False), module.named_buffers(recurse=False))
        for key, value in chain(own, self._values.items()):
            if isinstance(value, Tensor):
                yield f"{self._name}.{key}", value

    def settle(self) -> None:
        """Leave alone what is another one now."""
        held = vars(self.watched)
        self._values = {k: v for k, v in self._values.items() if _same(held.get(k, _NOTHING), v)}
        self._keys |= set(held)

    def changes(self) -> Iterator[str]:
        """Yield what changed; it is put back."""
        if self._look.is_the_same():
            return
        found = list(self._differences(self.watched, vars(self.watched)))
        self._look = _Look([self.watched])
        yield from found

    def _differences(self, module: nn.Module, held: dict[str, Any]) -> Iterator[str]:
        if module.training != self._training:
            module.training = self._training
            yield f"the training mode of {self._name}"
        if type(module) is not self._type:
            module.__class__ = self._type
            yield f"the class of {self._name}"
        if self._rewritten():
            self._type.forward = self._forward  # type: ignore[assignment]  # it is not None
            yield f"the code of {self._type.__name__}"
        for key, parts in self._parts.items():
            if _differ(held[key], parts):
                yield f"{'hooks' if key in _HOOKS else key[1:]} of {self._name}"
                held[key].clear()
                held[key].update(parts)
        changed = [k for k, v in self._values.items() if not _same(held.get(k, _NOTHING), v)]
        # A function of an instance hides that of its class.
        changed += [key for key in held.keys() - self._keys if callable(held[key])]
        for key in changed:
            yield f"{key} of {self._name}"
            if key in self._values:
                held[key] = self._values[key]
            else:
                del held[key]


def _is_value(key: str, value: object) -> bool:
    if key == "training" or isinstance(value, nn.Module):
        return False
    return isinstance(value, (*_PLAIN, Tensor)) or callable(value)


def _same(now: object, before: object) -> bool:
    if now is before:
        return True
    if type(now) is not type(before) or not isinstance(before, _PLAIN):
        return False
    with suppress(Exception):  # what a tuple holds may refuse to be compared
        return bool(now == before)
    return False


def _differ(now: Mapping[Any, Any], before: Mapping[Any, Any]) -> bool:
    if len(now) != len(before):
        return True
    return any(now.get(key, _NOTHING) is not value for key, value in before.items())


class _Weights:
    """The bytes of tensors, one weighted sum per storage, computed where they lie."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._tensors: list[Tensor] = []
        self._aliases: list[Tensor] = []  # the same memory, whatever the tensor is made to hold
        self._facts: list[tuple[int, torch.Size, bool]] = []
        self._stores: dict[int, _Store] = {}

    def add(self, tensors: Iterable[tuple[str, Tensor]]) -> None:
        """Watch tensors too, by name; memory that is watched already is summed once."""
        for name, tensor in tensors:
            if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta:
                continue
            alias = tensor.detach()
            self._names.append(name)
            self._tensors.append(tensor)
            self._aliases.append(alias)
            self._facts += _facts_of([tensor])
            place = alias.untyped_storage().data_ptr()
            if alias.numel() and place not in self._stores:
                self._stores[place] = _Store(name, alias)

    def changes(self) -> list[str]:
        """Return what changed, as one text; it is put back."""
        found = [] if _facts_of(self._tensors) == self._facts else list(self._moved())
        found = list(dict.fromkeys([*found, *self._damaged()]))
        if not found:
            return []
        more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        return ["weights (" + ", ".join(found[:_LISTED]) + more + ")"]

    def _moved(self) -> Iterator[str]:
        """Yield the names of tensors that hold other memory; they are put back."""
        known = zip(self._names, self._tensors, self._aliases, self._facts, strict=True)
        for name, tensor, alias, (pointer, shape, needs) in known:
            if tensor.data_ptr() != pointer or tensor.shape != shape:
                tensor.data = alias
                yield name
            if tensor.requires_grad != needs:
                tensor.requires_grad_(needs)  # it changes no number, only what a pass costs

    def _damaged(self) -> list[str]:
        """Return the names of the storages whose bytes changed, and put these back."""
        stores = list(self._stores.values())
        sums = [store.sum() for store in stores]
        there = [total for total in sums if isinstance(total, Tensor)]
        if there:  # one wait for the device, not one per storage
            known = iter(torch.stack(there).tolist())
            sums = [next(known) if isinstance(total, Tensor) else total for total in sums]
        damaged = [s for s, now in zip(stores, sums, strict=True) if now != s.total]
        for store in damaged:
            store.restore()
        return [store.name for store in damaged]


def _facts_of(tensors: Sequence[Tensor]) -> list[tuple[int, torch.Size, bool]]:
    """Return where tensors lie, their shapes, and whether they want a gradient."""
    shapes, needs = (map(attrgetter(name), tensors) for name in ("shape", "requires_grad"))
    return list(zip(map(Tensor.data_ptr, tensors), shapes, needs, strict=True))


class _Store:
    """The bytes under one or more tensors.

    Every 64-bit word has an odd weight, modulo 2^64: a change in one word never goes unnoticed,
    one in several by a chance of 2^-64.
    """

    def __init__(self, name: str, tensor: Tensor) -> None:
        self.name = name
        self._bytes = torch.empty(0, dtype=torch.uint8, device=tensor.device)
        self._bytes.set_(tensor.untyped_storage())
        whole = len(self._bytes) // 8 * 8
        self._words, self._rest = self._bytes[:whole].view(torch.int64), self._bytes[whole:]
        self._kept = self._bytes.clone()
        self._odd = _odd_numbers(len(self._words) + len(self._rest), tensor.device)
        self._arrays = None
        if tensor.device.type == "cpu":
            # NumPy sums a product without a copy of it, and sees the same memory.
            odd, whole = self._odd.numpy(), len(self._words)
            self._arrays = self._words.numpy(), odd[:whole], self._rest.numpy(), odd[whole:]
        self.total = int(self.sum())

    def sum(self) -> "Tensor | int":
        """Return the weighted sum, on a device as a tensor that nobody has waited for."""
        if self._arrays is None:
            parts = torch.cat([self._words, self._rest.to(torch.int64)])
            return (parts * self._odd).sum()
        words, odd, rest, odd_of_rest = self._arrays
        total = int(np.dot(words, odd))
        if len(rest):
            total += int(np.dot(rest.astype(np.int64), odd_of_rest))
        return total

    def restore(self) -> None:
        """Put the bytes back."""
        self._bytes.copy_(self._kept)


_odd: dict[torch.device, Tensor] = {}


def _odd_numbers(count: int, device: torch.device) -> Tensor:
    """Return 1, 3, 5, ... as int64, kept from call to call."""
    found = _odd.get(device)
    if found is None or len(found) < count:
        found = _odd[device] = 2 * torch.arange(count, device=device, dtype=torch.int64) + 1
    return found[:count]
