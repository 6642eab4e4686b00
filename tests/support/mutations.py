"""Valid inputs with something wrong in them: in their bytes, or in what the bytes mean."""

import copy
import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Change = Callable[[random.Random], bytes]

_DEEP: Any = []
for _ in range(200):
    _DEEP = [_DEEP]
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 255, 2**31, 2**63, -(2**63), 10**30, 10**400),
    *(0.0, -0.5, 0.5, 1e-320, 1e308, -1e308, float("nan"), float("inf"), float("-inf")),
    *("", "x", "none", "worst", "adaptive", "NaN", "1e99999999", "../..", "a/b", "-", "\n"),
    *("\u202e\u0007\x00", "\ud800", "é" * 50, "x" * 5_000, "$\\frac{$_^", "{{ x }}", "&#0;", "=="),
    *([], {}, [None], [[]], [1, "x"], {"plugin": "jpeg"}, {"": ""}, {"chain": []}, _DEEP),
)
_TIMES = (1, 1, 1, 2, 3)
_BYTES = (b"\x00", b"\xff", b"\x7f", b"\x80", b"\n", b'"', b"{", b"]", b"-", b"9" * 30, b"\xff" * 8)


def damaged_bytes(content: bytes) -> Change:
    """Return what flips, cuts, splices and overwrites parts of `content`, one to three times."""

    def change(draw: random.Random) -> bytes:
        found = content
        for _ in range(draw.choice(_TIMES)):
            found = draw.choice(_BYTE_CHANGES)(draw, found)
        return found

    return change


def _flip(draw: random.Random, content: bytes) -> bytes:
    place = _place(draw, content)
    flipped = [byte ^ (1 << draw.randrange(8)) for byte in content[place : place + 1]]
    return _put(content, place, 1, bytes(flipped))


def _cut(draw: random.Random, content: bytes) -> bytes:
    return content[: _place(draw, content)]


def _leave_out(draw: random.Random, content: bytes) -> bytes:
    return _put(content, _place(draw, content), draw.randint(1, 64), b"")


def _overwrite(draw: random.Random, content: bytes) -> bytes:
    value = draw.choice(_BYTES)
    return _put(content, _place(draw, content), len(value), value)


def _insert(draw: random.Random, content: bytes) -> bytes:
    return _put(content, _place(draw, content), 0, draw.choice(_BYTES))


def _splice(draw: random.Random, content: bytes) -> bytes:
    start, to = _place(draw, content), _place(draw, content)
    part = content[start : start + draw.randint(1, 256)]
    return _put(content, to, draw.choice((0, len(part))), part)


_BYTE_CHANGES = (_flip, _flip, _cut, _leave_out, _overwrite, _insert, _splice)


def _place(draw: random.Random, content: bytes) -> int:
    """Return a place, as often near an end as anywhere: there formats say what they are."""
    last = max(len(content) - 1, 0)
    near = min(last, draw.choice((32, 256)))
    return draw.choice((draw.randint(0, near), last - draw.randint(0, near), draw.randint(0, last)))


def _put(content: bytes, start: int, length: int, value: bytes) -> bytes:
    return content[:start] + value + content[start + length :]


def damaged_document(
    document: Any,
    write: Callable[[Any], bytes],
    *,
    values: Sequence[Any] = _VALUES,
    contradict: Callable[[random.Random, Any], None] | None = None,
) -> Change:
    """Return what changes values, keys and order in a JSON document, one to three times.

    Args:
        document: Valid; its text is what is copied.
        write: Returns the bytes of what the document has become.
        values: What takes the place of others.
        contradict: What else changes such a document, in place of half of that.
    """
    text, alike = json.dumps(document), _alike(document)

    def change(draw: random.Random) -> bytes:
        found = json.loads(text)
        if contradict is not None and draw.random() < 0.5:
            for _ in range(draw.choice(_TIMES)):
                contradict(draw, found)
            return write(found)
        if alike and draw.random() < 0.15:
            found = _rename(draw, found, alike)
        for _ in range(draw.choice(_TIMES)):
            _change_part(draw, found, values, alike)
        return write(found)

    return change


def _alike(document: Any) -> dict[str, list[Any]]:
    """Return what stands under each key anywhere: values that are right, elsewhere."""
    found: dict[str, list[Any]] = {}
    waiting = [document]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Mapping):
            for key, value in part.items():
                found.setdefault(key, []).append(value)
        if isinstance(part, Mapping | list):
            waiting += part.values() if isinstance(part, Mapping) else part
    return found


def _rename(draw: random.Random, document: Any, alike: Mapping[str, Sequence[Any]]) -> Any:
    """Let a text be another one wherever it stands, as a value or as a key."""
    texts = [value for values in alike.values() for value in values if isinstance(value, str)]
    keys = list(alike)
    before = draw.choice((draw.choice(texts or keys), draw.choice(keys)))
    after = draw.choice([value for value in _VALUES if isinstance(value, str)])

    def renamed(part: Any) -> Any:
        if isinstance(part, Mapping):
            return {after if k == before else k: renamed(v) for k, v in part.items()}
        if isinstance(part, list):
            return [renamed(one) for one in part]
        return after if part == before else part

    return renamed(document)


def _change_part(
    draw: random.Random,
    document: Any,
    values: Sequence[Any],
    alike: Mapping[str, Sequence[Any]],
) -> None:
    part: Any = document
    while True:
        keys = list(part) if isinstance(part, Mapping) else range(len(part))
        if not keys:
            return
        key = draw.choice(list(keys))
        below = part[key]
        if not isinstance(below, dict | list) or not below or draw.random() < 0.15:
            break
        part = below
    what = draw.randrange(16)
    if what == 0:
        del part[key]
    elif what == 1 and isinstance(part, list):
        part.append(copy.deepcopy(below))
    elif what == 2 and isinstance(part, dict):
        part[draw.choice(("", "x", "name", "\n", "é", "plugin", "$^$"))] = part.pop(key)
    elif what == 3:
        other = draw.choice(list(part) if isinstance(part, dict) else list(range(len(part))))
        part[key], part[other] = part[other], below
    elif what > 12 and key in alike:
        part[key] = copy.deepcopy(draw.choice(alike[key]))
    elif what > 10 and isinstance(part, list):
        part[:] = [one for one in part if draw.random() < 0.5]
    elif what < 9 and isinstance(below, str | int | float) and not isinstance(below, bool):
        part[key] = _near(draw, below)
    else:
        part[key] = copy.deepcopy(draw.choice(values))


def _near(draw: random.Random, value: str | float) -> Any:
    """Return a value that is nearly right."""
    if isinstance(value, str):
        return draw.choice(
            (value[:-1], value + "A", value[1:], value * 2, value.upper(), value[4:])
        )
    return draw.choice((value + 1, value - 1, -value, value * 10, value * 2**40, str(value)))


def to_toml(document: Mapping[str, Any]) -> bytes:
    """Return a document as TOML, as far as TOML has words for it."""
    lines = [f"{_key(key)} = {_toml(value)}" for key, value in document.items()]
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")


def _key(key: str) -> str:
    return json.dumps(key, ensure_ascii=False)


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, float):
        return str(value)
    return '"nothing"' if value is None else json.dumps(value, ensure_ascii=False)


def to_json(document: Any) -> bytes:
    """Return a document as JSON, with constants and numbers that JSON has not."""
    return json.dumps(document).encode()
