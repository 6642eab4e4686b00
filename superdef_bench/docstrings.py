"""Google docstrings, read for help: the prose, and what each argument means."""

import inspect
import re
from collections.abc import Callable
from typing import Any

_SECTION = re.compile(
    r"(Args|Arguments|Attributes|Examples?|Notes?|Raises|References|Returns|Yields):\s*"
)
_ENTRY = re.compile(r"\*{0,2}(\w+)(?: \([^)]*\))?:\s*(.*)")


def prose(thing: Callable[..., Any]) -> list[str]:
    """Return the paragraphs of the docstring of `thing` before its first section, one line each."""
    lines = _lines(thing)
    first = next((n for n, line in enumerate(lines) if _SECTION.fullmatch(line)), len(lines))
    paragraphs = "\n".join(lines[:first]).split("\n\n")
    return [" ".join(paragraph.split()) for paragraph in paragraphs if paragraph.strip()]


def described_arguments(thing: Callable[..., Any]) -> dict[str, str]:
    """Return name and description of each argument under `Args:`, one line each.

    Args:
        thing: A function or a class; what a class leaves out, its bases describe.
    """
    bases = reversed(thing.__mro__) if isinstance(thing, type) else [thing]
    return {name: text for base in bases for name, text in _arguments(_lines(base)).items()}


def _lines(thing: Callable[..., Any]) -> list[str]:
    return inspect.cleandoc(thing.__doc__ or "").splitlines()


def _arguments(lines: list[str]) -> dict[str, str]:
    start = next((n for n, line in enumerate(lines) if re.fullmatch(r"Arg(ument)?s:\s*", line)), -1)
    if start < 0:
        return {}
    found: dict[str, list[str]] = {}
    depth, current = 0, list[str]()
    for line in lines[start + 1 :]:
        text, indent = line.strip(), len(line) - len(line.lstrip())
        if not text:
            continue
        if indent == 0:
            break
        entry = _ENTRY.fullmatch(text)
        depth = depth or indent
        if indent == depth and entry:
            current = found.setdefault(entry[1], [])
            text = entry[2]
        current.append(text)
    return {name: " ".join(filter(None, texts)) for name, texts in found.items()}
