"""Notice what changed in networks, and put it back.

A plugin is handed live networks. One that changes them, by accident or not, changes the numbers of
all others. Version counters of torch do not tell: running statistics, `.data` and NumPy views
change without them, so the bytes are summed.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from operator import is_
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
            found = [text for module in self._modules.values() for text in module.changes()]
            return found + self._weights.changes()


class _Module:
    """One module: what it is made of, without the bytes of its tensors."""

    def __init__(self, owner: str, name: str, module: nn.Module) -> None:
        self.owner, self._name, self._module = owner, name, module
        held = vars(module)
        # A scripted module keeps its parts elsewhere, where no plugin reaches but their bytes.
        kept = (key for key in (*_PARTS, *_HOOKS) if type(held.get(key)) in _DICTS)
        self._parts = {key: dict(held[key]) for key in kept}
        self._training, self._type = module.training, type(module)
        # A scripted module has its code elsewhere, and no such attribute to look at.
        self._forward = None if isinstance(module, torch.jit.ScriptModule) else type(module).forward
        self._keys = set(held)
        self._values = {key: value for key, value in held.items() if _is_value(key, value)}
        self._look()

    def _look(self) -> None:
        """Remember all that is held, one by one: while each is the same object, all is."""
        self._held = list(vars(self._module).values())
        dicts = [value for value in self._held if type(value) in _DICTS]
        self._dicts, self._lengths = dicts, list(map(len, dicts))
        self._full = [value for value in dicts if value]
        self._inner = [part for value in self._full for part in value.values()]

    def _untouched(self) -> bool:
        # Many modules are looked at very often: by `map` no Python runs for each thing they hold.
        held = vars(self._module).values()
        if len(held) != len(self._held) or not all(map(is_, held, self._held)):
            return False
        if list(map(len, self._dicts)) != self._lengths:
            return False
        inner = chain.from_iterable([value.values() for value in self._full])
        if not all(map(is_, inner, self._inner)):
            return False
        return type(self._module) is self._type and not self._rewritten()

    def _rewritten(self) -> bool:
        return self._forward is not None and self._type.forward is not self._forward

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield all tensors by name: parameters, buffers, and those that are plain attributes."""
        module = self._module
        own = chain(module.named_parameters(recurse=False), module.named_buffers(recurse=False))
        for key, value in chain(own, self._values.items()):
            if isinstance(value, Tensor):
                yield f"{self._name}.{key}", value

    def settle(self) -> None:
        """Leave alone what is another one now."""
        held = vars(self._module)
        self._values = {k: v for k, v in self._values.items() if _same(held.get(k, _NOTHING), v)}
        self._keys |= set(held)

    def changes(self) -> Iterator[str]:
        """Yield what changed; it is put back."""
        if self._untouched():
            return
        found = list(self._differences(self._module, vars(self._module)))
        self._look()
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
        self._tensors: list[tuple[str, Tensor, Tensor, int, bool]] = []
        self._stores: dict[int, _Store] = {}

    def add(self, tensors: Iterable[tuple[str, Tensor]]) -> None:
        """Watch tensors too, by name; memory that is watched already is summed once."""
        for name, tensor in tensors:
            if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta:
                continue
            alias = tensor.detach()
            pointer = alias.data_ptr()
            self._tensors.append((name, tensor, alias, pointer, tensor.requires_grad))
            place = alias.untyped_storage().data_ptr()
            if alias.numel() and place not in self._stores:
                self._stores[place] = _Store(name, alias)

    def changes(self) -> list[str]:
        """Return what changed, as one text; it is put back."""
        found = []
        for name, tensor, alias, pointer, needs in self._tensors:
            if tensor.data_ptr() != pointer or tensor.shape != alias.shape:
                tensor.data = alias
                found.append(name)
            if tensor.requires_grad != needs:
                tensor.requires_grad_(needs)  # it changes no number, only what a pass costs
        found = list(dict.fromkeys([*found, *self._damaged()]))
        if not found:
            return []
        more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        return ["weights (" + ", ".join(found[:_LISTED]) + more + ")"]

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
            self._arrays = self._words.numpy(), self._rest.numpy(), self._odd.numpy()
        self.total = int(self.sum())

    def sum(self) -> "Tensor | int":
        """Return the weighted sum, on a device as a tensor that nobody has waited for."""
        if self._arrays is None:
            parts = torch.cat([self._words, self._rest.to(torch.int64)])
            return (parts * self._odd).sum()
        words, rest, odd = self._arrays
        total = int(np.dot(words, odd[: len(words)]))
        if len(rest):
            total += int(np.dot(rest.astype(np.int64), odd[len(words) :]))
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
