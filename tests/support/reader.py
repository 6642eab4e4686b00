"""What reads a kind of file, and how such a file is damaged."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.mutations import damaged_bytes, damaged_document


@dataclass(frozen=True)
class Reader:
    """What reads a kind of file.

    Attributes:
        damage: Returns a damaged file, by what it draws.
        read: Reads it, and does with it whatever a command does.
    """

    name: str
    damage: Callable[[random.Random], bytes]
    read: Callable[[bytes], object]


def mixed(*changes: Callable[[random.Random], bytes]) -> Callable[[random.Random], bytes]:
    return lambda draw: draw.choice(changes)(draw)


def of_document(
    document: Any,
    write: Callable[[Any], bytes],
    contradict: Callable[[random.Random, Any], None] | None = None,
) -> Callable[[random.Random], bytes]:
    """Damage what a document means three times as often as its bytes."""
    meant = damaged_document(document, write, contradict=contradict)
    return mixed(meant, meant, meant, damaged_bytes(write(document)))
