"""Two engines of AutoAttack on the same images: what each breaks, and whether ours keeps up.

A file holds one case: a classifier, a ball and n images. No torch.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import ValidationError, model_validator

from superdef_bench.core.errors import DataError
from superdef_bench.io.documents import parse_json
from superdef_bench.io.files import read_file, write_atomically
from superdef_bench.io.seal import is_sealed, seal
from superdef_bench.results.facts import (
    Amount,
    Base64,
    Count,
    Machine,
    Model,
    Name,
    NormWord,
    Positive,
    Sha256,
    Versions,
)
from superdef_bench.results.statistics import Bits, beats, unpack_bits, unpack_floats

Engine = Literal["own", "reference"]
Effort = Literal["forwards", "backwards", "seconds"]
OWN: Engine = "own"
REFERENCE: Engine = "reference"
TOLERATED = 0.003  # share of the images that only the reference may break
SIGNIFICANT = 0.05
_ROUNDING = 1e-3  # of float32 logits on another machine
_MOST_BYTES = 2**24
_AGAIN = "superdef-bench verify autoattack writes it again"


class Part(Model):
    """One attack of the sequence.

    Attributes:
        broken: A bit per image: wrong after this part and those before it.
    """

    name: Name
    broken: Base64
    forwards: Amount
    backwards: Amount
    seconds: Amount


class EngineRun(Model):
    """What one engine did.

    Attributes:
        alone: Whether it is one part by itself, on the first `n` images.
        versions: Of what computed it.
    """

    engine: Engine
    seed: Count
    alone: bool
    n: Positive
    batch_size: Positive
    parts: tuple[Part, ...]
    versions: Versions
    machine: Machine

    def broken(self) -> Bits:
        """Return which images are wrong at the end, `(n,)`."""
        return unpack_bits(self.parts[-1].broken, self.n)

    def total(self, name: Effort) -> float:
        """Return the sum over the parts."""
        return float(sum(getattr(part, name) for part in self.parts))

    def added(self) -> Iterator[tuple[str, int]]:
        """Yield each part with the number of images that it broke and no part before it."""
        before = 0
        for part in self.parts:
            now = int(unpack_bits(part.broken, self.n).sum())
            yield part.name, now - before
            before = now


class Parity(Model):
    """One case.

    Attributes:
        attacked: Hash of what is attacked: weights, defense, gradient, ball, images; not of code,
            which may change while what the reference broke is kept.
        clean: A bit per image: wrong without attack.
        margins: Of each image without attack, the highest other logit minus that of the label:
            they tell whether it is still the same function.
    """

    dataset: Name
    model: Name
    defense: Name
    rung: Name
    norm: NormWord
    eps: Name
    n: Positive
    attacked: Sha256
    clean: Base64
    margins: Base64
    runs: tuple[EngineRun, ...]
    sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _bits_fit(self) -> Self:
        unpack_bits(self.clean, self.n)
        if len(unpack_floats(self.margins)) != self.n:
            raise ValueError(f"{len(unpack_floats(self.margins))} margins for {self.n} images")
        for run in self.runs:
            for part in run.parts:
                unpack_bits(part.broken, run.n)
        return self

    @property
    def title(self) -> str:
        """What tables call it."""
        behind = "" if self.defense == "none" else f" behind {self.defense}"
        return f"{self.model}{behind}"

    def same(self, other: "Parity") -> bool:
        """Whether another case attacks the same function on the same images."""
        if self.attacked != other.attacked or self.n != other.n:
            return False
        ours, theirs = unpack_floats(self.margins), unpack_floats(other.margins)
        return bool(np.allclose(ours, theirs, rtol=_ROUNDING, atol=_ROUNDING))

    def run(self, engine: str, *, second: bool = False) -> EngineRun | None:
        """Return the whole sequence of an engine, with the first seed or the second."""
        found = [run for run in self.runs if run.engine == engine and not run.alone]
        return next(iter(found[second:]), None)

    def part_alone(self, name: str, engine: str) -> EngineRun | None:
        """Return one part run by itself."""
        return next(
            (r for r in self.runs if r.alone and r.engine == engine and r.parts[0].name == name),
            None,
        )


@dataclass(frozen=True)
class Difference:
    """Whom the two engines break.

    Attributes:
        only_reference: Places of images that only the reference breaks.
        only_own: Places of those that only ours breaks.
        noise: Images on which two seeds of the reference differ; None where one seed ran.
    """

    n: int
    only_reference: Sequence[int]
    only_own: Sequence[int]
    noise: int | None

    @property
    def allowed(self) -> int:
        """How many images the reference alone may break."""
        return max(1, int(TOLERATED * self.n), self.noise or 0)

    @property
    def holds(self) -> bool:
        return len(self.only_reference) <= self.allowed


def difference(parity: Parity) -> Difference:
    """Return whom the whole sequences break.

    Raises:
        DataError: One of the engines did not run.
    """
    own, reference = parity.run(OWN), parity.run(REFERENCE)
    if own is None or reference is None:
        raise DataError(f"{parity.title}: one of the two engines did not run", hint=_AGAIN)
    again = parity.run(REFERENCE, second=True)
    noise = None if again is None else int((again.broken() ^ reference.broken()).sum())
    return _difference(own, reference, noise)


def part_difference(parity: Parity, name: str) -> Difference | None:
    """Return whom one part alone breaks, or None where it did not run alone."""
    own, reference = parity.part_alone(name, OWN), parity.part_alone(name, REFERENCE)
    return None if own is None or reference is None else _difference(own, reference, None)


def _difference(own: EngineRun, reference: EngineRun, noise: int | None) -> Difference:
    ours, theirs = own.broken(), reference.broken()
    lone, mine = (theirs & ~ours).nonzero()[0], (ours & ~theirs).nonzero()[0]
    return Difference(own.n, lone.tolist(), mine.tolist(), noise)


@dataclass(frozen=True)
class Together:
    """All cases as one.

    Attributes:
        p: One-sided exact McNemar test that ours is no weaker.
    """

    n: int
    only_reference: int
    only_own: int
    p: float

    @property
    def holds(self) -> bool:
        return self.only_reference <= TOLERATED * self.n and self.p > SIGNIFICANT


def together(cases: Sequence[Parity]) -> Together:
    """Return all cases as one.

    Raises:
        DataError: See `difference`.
    """
    each = [difference(case) for case in cases]
    lone, mine = (sum(len(d.only_reference) for d in each), sum(len(d.only_own) for d in each))
    # Right under ours: what only the reference breaks. Those that both break say nothing.
    ours = np.array([True] * lone + [False] * mine, dtype=np.bool_)
    return Together(sum(d.n for d in each), lone, mine, beats(~ours, ours))


def load_parity(file: Path) -> Parity:
    """Read a case.

    Raises:
        DataError: It is missing, damaged, or no such file.
    """
    try:
        content = read_file(file, most=_MOST_BYTES)
        document: Any = parse_json(content)
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read: {error}", hint=_AGAIN) from error
    if not isinstance(document, dict) or "runs" not in document:
        raise DataError(f"{file} is no file of verify autoattack", hint=_AGAIN)
    is_sealed(document, f"results {file}", hint=_AGAIN)
    try:
        return Parity.model_validate_json(content)
    except ValidationError as error:
        place = "/".join(map(str, error.errors(include_url=False)[0]["loc"]))
        raise DataError(f"{file} is damaged: {place or 'bits'}", hint=_AGAIN) from error


def save_parity(parity: Parity, file: Path) -> None:
    """Write a case."""
    document = seal(parity.model_dump(exclude={"sha256"}))
    write_atomically(file, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())
