"""The golden results as a document that a test may change."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from superdef_bench.io.seal import seal
from superdef_bench.results.schema import AccuracyRow

GOLDEN = Path(__file__).parents[1] / "golden/example.json"


def example() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(GOLDEN.read_text())
    return document


def write(path: Path, document: Mapping[str, Any]) -> Path:
    """Write a document as if it had been made like that: its hash is its own."""
    path.write_text(json.dumps(seal(document)))
    return path


def untimed(rows: Iterable[AccuracyRow]) -> list[AccuracyRow]:
    """Return rows without what they took, which no two runs share."""
    return [row.model_copy(update={"seconds": None}) for row in rows]


def find(document: dict[str, Any], *where: object) -> dict[str, Any]:
    """Return the row of a defense, rung, attack and, at the end, eps."""
    (found,) = (
        row
        for row in document["accuracy"]
        if (row["defense"], row["rung"], row["attack"], row["eps"]) == where
    )
    return found
