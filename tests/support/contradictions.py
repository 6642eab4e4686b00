"""Results that are valid row by row and make no sense together."""

import random
from typing import Any

import numpy as np

from superdef_bench.results.aggregate import accuracy_row
from superdef_bench.results.statistics import (
    pack_counts,
    pack_floats,
    pack_integers,
    unpack_bits,
    unpack_counts,
    unpack_floats,
    unpack_integers,
)


def contradict(draw: random.Random, document: dict[str, Any]) -> None:
    """Change rows of results so that each is still valid by itself."""
    rows = document["accuracy"]
    if isinstance(rows, list) and rows:
        draw.choice((_shorten, _drop, _move, _redraw, _shift, _judge))(draw, document)


def _shorten(draw: random.Random, document: dict[str, Any]) -> None:
    """Let rows have fewer images."""
    share, n = draw.random(), draw.choice((1, 2, 7, 100))
    for row in document["accuracy"]:
        if draw.random() < share and n < row["n"]:
            right = unpack_bits(row["verdicts"], row["n"])[:n]
            row |= accuracy_row(right, [str(number) for number in range(n)])
            for key, unpack, pack in (
                ("shares", unpack_counts, pack_counts),
                ("first_steps", unpack_integers, pack_integers),
                ("smallest_eps", unpack_floats, pack_floats),
            ):
                if row.get(key) is not None:
                    row[key] = pack(np.array(unpack(row[key])[:n]))


def _drop(draw: random.Random, document: dict[str, Any]) -> None:
    """Leave out all rows that have a value in common, in one list or in all."""
    column = draw.choice(("defense", "rung", "attack", "eps", "source"))
    value = draw.choice(document["accuracy"])[column]
    for part in draw.choice((("accuracy",), ("cost",), ("accuracy", "cost", "failures"))):
        document[part] = [row for row in document[part] if row.get(column) != value]


def _move(draw: random.Random, document: dict[str, Any]) -> None:
    """Let rows stand for another cell."""
    column = draw.choice(("defense", "rung", "attack", "eps", "norm", "source", "eot", "draws"))
    share, value = draw.random(), draw.choice(document["accuracy"]).get(column)
    for row in document["accuracy"]:
        if draw.random() < share:
            row[column] = value


def _redraw(draw: random.Random, document: dict[str, Any]) -> None:
    """Let verdicts, draws and steps be others, as many as before."""
    for row in document["accuracy"]:
        if draw.random() < 0.3:
            right = np.array([draw.random() < 0.5 for _ in range(row["n"])])
            row |= accuracy_row(right, [str(number) for number in range(row["n"])])
            if row.get("first_steps") is not None:
                steps = [draw.choice((-1, 0, 5, 2**31 - 1, -(2**31))) for _ in right]
                row["first_steps"] = pack_integers(np.array(steps))
            if row.get("shares") is not None:
                row["shares"] = pack_counts(np.array([draw.randint(0, 255) for _ in right]))
            if row.get("smallest_eps") is not None:
                radii = [draw.choice((0.0, -1.0, np.nan, np.inf, -np.inf, 1e308)) for _ in right]
                row["smallest_eps"] = pack_floats(np.array(radii))


def _shift(draw: random.Random, document: dict[str, Any]) -> None:
    """Let radii be others, everywhere or only in what was asked for."""
    value = draw.choice((0.0, 1e-300, 0.5, 1.0, 1e6, 1e300))
    everywhere = draw.random() < 0.5
    last = document["threat"]["eps"][-1]
    document["threat"]["eps"] = draw.choice(([value], [value, value], [last, value]))
    for row in document["accuracy"] if everywhere else ():
        if row["eps"] == last:
            row["eps"] = value


def _judge(draw: random.Random, document: dict[str, Any]) -> None:
    """Let a defense lack nothing, or everything, and attacks be of another kind."""
    for facts in document["defenses"].values():
        facts["missing"] = draw.choice(([], ["all of it"], facts["missing"]))
        facts["stages"] = draw.choice((0, 1, 9))
    for facts in document["attacks"].values():
        facts["kind"] = draw.choice(("budget", "minimal", "corruption"))
        facts["access"] = draw.choice(("gradient", "scores", "labels", "none"))
        facts["counted"] = draw.random() < 0.7
