"""What tells a live object from every other: its process, itself, its class, and what it holds.

An object that a caller has in hand may do anything: a function of a notebook, a number that
somebody sets, a global. Its records are good while nothing that can be seen of it is another, and
in no other process, where what cannot be seen may differ.
"""

import functools
import hashlib
import inspect
import itertools
import secrets
import types
import weakref
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from superdef_bench.core.fingerprint import sources, tensors

_PROCESS = secrets.token_hex(16)
_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_SAID = (
    *(torch.dtype, torch.device, torch.Size, torch.memory_format),
    *(np.generic, range, slice, type(...), type(NotImplemented)),
)  # their repr says all of them
_METHODS = (staticmethod, classmethod, types.MethodType)
_SEEN_THROUGH = (dict, list, tuple, set, frozenset, property, *_METHODS)
_MODE = "training"  # every network is put into evaluation

_count = itertools.count()
_numbers: dict[int, tuple[weakref.ref[Any], int]] = {}

Part = tuple[str, object]


def class_name(value: object) -> str:
    """Return the class of an object, with its module."""
    return f"{type(value).__module__}.{type(value).__qualname__}"


def class_file(value: object) -> Path | None:
    """Return the file of an object's class; None where it has none, as in a notebook."""
    with suppress(TypeError, OSError):
        file = Path(inspect.getsourcefile(type(value)) or "")
        return file if file.is_file() else None
    return None


def identity(value: object) -> dict[str, str]:
    """Return what keys say of a live object."""
    file = class_file(value)
    return {
        **(sources(file) if file else {}),
        "process": _PROCESS,
        "object": str(_number(value)),
        "class": class_name(value),
        "holds": _digest(value),
    }


def state_hash(value: object) -> str:
    """Return the sha256 of an object's state dict; empty where it has none."""
    state = value.state_dict() if isinstance(value, nn.Module) else {}
    held = {name: part for name, part in state.items() if isinstance(part, Tensor)}
    return tensors(held) if held else ""


def networks_in(value: object) -> Iterator[nn.Module]:
    """Yield every module that an object is or holds, however deep."""
    # By the type: a weak reference would be asked for what it refers to.
    found = (part for _, part in _reached(value) if issubclass(type(part), nn.Module))
    return cast(Iterator[nn.Module], found)


def _number(value: object) -> int:
    """Return a number of this very object, which no other gets; a new one where none sticks."""
    known = _numbers.get(id(value))
    if known and known[0]() is value:
        return known[1]
    number = next(_count)
    with suppress(TypeError):  # of some classes there are no weak references
        _numbers[id(value)] = weakref.ref(value), number
    return number


def _digest(value: object) -> str:
    digest = hashlib.sha256()
    for place, part in _reached(value):
        digest.update(f"{place}\0{_said(part)}\0".encode(errors="backslashreplace"))
    return digest.hexdigest()


def _said(part: object) -> str:
    """Return in a text what is to be seen of a part, beside its own parts."""
    with suppress(Exception):  # bytes out of reach, a reference to what has gone
        return _seen(part)
    return str(_number(part))


def _seen(part: object) -> str:
    if type(part) in _PLAIN or isinstance(part, _SAID):
        return repr(part)
    if isinstance(part, Tensor):
        return tensors({"": part})
    if isinstance(part, np.ndarray):
        return f"{part.dtype} {part.shape} {hashlib.sha256(part.tobytes()).hexdigest()}"
    if isinstance(part, types.CodeType):
        return f"{part.co_code.hex()} {part.co_names}"
    if isinstance(part, type | types.FunctionType | types.BuiltinFunctionType | types.ModuleType):
        return f"{getattr(part, '__module__', '')}.{getattr(part, '__qualname__', part.__name__)}"
    if isinstance(part, _Again):
        return f"again {part.number}"
    if isinstance(part, _SEEN_THROUGH) or hasattr(part, "__dict__") or _slots(part):
        return class_name(part)
    return f"{class_name(part)} {_number(part)}"


class _Again:
    """A part that was met before."""

    def __init__(self, number: int) -> None:
        self.number = number


def _reached(root: object) -> Iterator[Part]:
    """Yield an object and all that it holds, each with what its holder calls it; runs no code.

    Code is followed within the module of the object's class.
    """
    own = type(root).__module__
    met: dict[int, tuple[int, object]] = {}  # keeps them alive, so that no id is used again
    waiting: list[Part] = [("", root)]
    while waiting:
        place, value = waiting.pop()
        if type(value) in _PLAIN:
            yield place, value
        elif id(value) in met:
            yield place, _Again(met[id(value)][0])
        else:
            met[id(value)] = len(met), value
            yield place, value
            with suppress(Exception):  # what cannot be looked into is told by its number
                waiting += list(_parts(value, own))


def _parts(value: object, own: str) -> Iterator[Part]:
    if isinstance(value, dict):
        yield from ((_key(key), part) for key, part in list(value.items()))
    elif isinstance(value, list | tuple):
        yield from ((str(number), part) for number, part in enumerate(value))
    elif isinstance(value, set | frozenset):
        yield from (("", part) for part in sorted(value, key=_said))
    elif isinstance(value, types.FunctionType):
        yield from _parts_of_function(value, own)
    elif isinstance(value, types.CodeType):
        yield from (("", constant) for constant in value.co_consts)
    elif isinstance(value, property):
        yield "", value.fget
    elif isinstance(value, _METHODS):
        yield "self", getattr(value, "__self__", None)
        yield "", value.__func__
    elif isinstance(value, functools.partial):
        yield from (("", value.func), ("", value.args), ("", value.keywords))
    elif isinstance(value, type):
        if value.__module__ == own:
            yield from ((name, p) for name, p in list(vars(value).items()) if _is_of_a_class(p))
            yield from (("base", base) for base in value.__bases__)
    elif not isinstance(value, types.ModuleType | Tensor | np.ndarray):
        yield "class", type(value)
        held = getattr(value, "__dict__", {})
        yield from ((_key(name), part) for name, part in list(held.items()) if name != _MODE)
        yield from ((name, getattr(value, name, None)) for name in _slots(value))


def _parts_of_function(function: types.FunctionType, own: str) -> Iterator[Part]:
    yield "code", function.__code__
    yield "defaults", (function.__defaults__, function.__kwdefaults__)
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # a cell that is still empty
            yield "cell", cell.cell_contents
    if function.__module__ == own:
        names = _names(function.__code__)
        for name in sorted(names & function.__globals__.keys()):
            found = function.__globals__[name]
            yield name, found
            if isinstance(found, types.ModuleType):  # what is read of it by name
                inside = vars(found)
                yield from ((n, inside[n]) for n in sorted(names & inside.keys()))


def _names(code: types.CodeType) -> set[str]:
    inner = (part for part in code.co_consts if isinstance(part, types.CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _is_of_a_class(part: object) -> bool:
    return type(part) in _PLAIN or isinstance(
        part, types.FunctionType | property | staticmethod | classmethod | Tensor
    )


def _slots(value: object) -> list[str]:
    found: list[str] = []
    for kind in type(value).__mro__:
        slots: str | Mapping[str, Any] | list[str] = vars(kind).get("__slots__", ())
        found += [slots] if isinstance(slots, str) else list(slots)
    return [name for name in found if name not in ("__dict__", "__weakref__")]


def _key(key: object) -> str:
    return key if isinstance(key, str) else repr(key) if type(key) in _PLAIN else class_name(key)
