"""Two engines of AutoAttack on the same images: what each breaks, and whether ours keeps up.

A file holds one case: a classifier, a ball and n images. No torch.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from superdef_bench.core.errors import DataError
from superdef_bench.core.threats import UNDEFENDED
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
_TINY = 1e-9
_ROUNDING = 1e-3  # of float32 logits on another machine
_MOST_BYTES = 2**24
_AGAIN = "superdef-bench verify autoattack runs it"
_DAMAGED = "delete the file; superdef-bench verify autoattack then writes it again"


class Part(Model):
    """One attack of the sequence.

    Attributes:
        broken: A bit per image: wrong after this part and those before it.
        seconds: Of the processor; on a GPU those that passed.
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
    parts: Annotated[tuple[Part, ...], Field(min_length=1)]
    versions: Versions
    machine: Machine

    def like(self, other: "EngineRun") -> bool:
        """Whether both ran the same parts on as many images, in such batches, on such libraries."""
        return self.engine == other.engine and self.settings == other.settings

    @property
    def settings(self) -> tuple[object, ...]:
        """What two runs have in common that are held against each other."""
        names = tuple(part.name for part in self.parts)
        libraries = tuple(self.versions.get(name) for name in ("torch", "pyautoattack"))
        return self.alone, self.n, self.batch_size, names, libraries

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
        config: Name of the config that it was run from.
        model_plugin: What `--model` takes; empty where the config says it with arguments.
        dataset_plugin: What `--dataset` takes, likewise.
        attacked: Hash of what is attacked: weights, defense, gradient, ball, images; not of code,
            which may change while what the reference broke is kept.
        clean: A bit per image: wrong without attack.
        margins: Of each image without attack, the highest other logit minus that of the label:
            they tell whether it is still the same function.
    """

    config: Name
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
    model_plugin: str = ""
    dataset_plugin: str = ""
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
        behind = "" if self.defense == UNDEFENDED else f" behind {self.defense}"
        return f"{self.model}{behind}"

    def same(self, other: "Parity") -> bool:
        """Whether another case attacks the same function on the same images."""
        if self.attacked != other.attacked or self.n != other.n:
            return False
        ours, theirs = unpack_floats(self.margins), unpack_floats(other.margins)
        return bool(np.allclose(ours, theirs, rtol=_ROUNDING, atol=_ROUNDING))

    def both(self) -> tuple[EngineRun, EngineRun]:
        """Return the whole sequences, the reference's first.

        Raises:
            DataError: One of the engines did not run.
        """
        found = next(self._pairs(alone=False), None)
        if found:
            return found
        raise DataError(
            f"{self.title}, {self.norm} {self.eps}: the two engines did not both run, alike in "
            "seed, batch size and versions",
            hint=_AGAIN,
        )

    def alone(self) -> Iterator[tuple[EngineRun, EngineRun]]:
        """Yield each part that both engines ran by itself."""
        yield from self._pairs(alone=True)

    def again(self) -> EngineRun | None:
        """Return the reference with another seed, else as in `both`; None if it did not run."""
        first, _ = self.both()
        others = (run for run in self.runs if run.seed != first.seed and run.like(first))
        return next(others, None)

    def _pairs(self, *, alone: bool) -> Iterator[tuple[EngineRun, EngineRun]]:
        """Yield runs of the reference and ours that are alike in all else."""
        ours = {(run.seed, run.settings): run for run in self.runs if run.engine == OWN}
        for run in self.runs:
            own = ours.get((run.seed, run.settings))
            if own and run.engine == REFERENCE and run.alone == alone:
                yield run, own


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
    reference, own = parity.both()
    again = parity.again()
    noise = None if again is None else int((again.broken() ^ reference.broken()).sum())
    return compare(reference, own, noise)


def compare(reference: EngineRun, own: EngineRun, noise: int | None = None) -> Difference:
    """Return whom two runs on the same images break.

    Args:
        reference: Of the reference.
        own: Of ours.
        noise: Images on which two seeds of the reference differ, where that is known.
    """
    ours, theirs = own.broken(), reference.broken()
    lone, mine = (theirs & ~ours).nonzero()[0], (ours & ~theirs).nonzero()[0]
    return Difference(own.n, lone.tolist(), mine.tolist(), noise)


@dataclass(frozen=True)
class Ratios:
    """How many times ours the reference takes."""

    passes: float
    seconds: float


def ratios(reference: EngineRun, own: EngineRun) -> Ratios:
    """Return how many times ours the reference takes."""
    passes, again = (run.total("forwards") + run.total("backwards") for run in (reference, own))
    seconds = reference.total("seconds") / max(own.total("seconds"), _TINY)
    return Ratios(passes / max(again, 1.0), seconds)


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
        raise DataError(f"case {file} cannot be read: {error}", hint=_DAMAGED) from error
    if not isinstance(document, dict) or "runs" not in document:
        raise DataError(f"{file} is no case of verify autoattack", hint="name another folder")
    is_sealed(document, f"the numbers of case {file}", hint=_DAMAGED)
    try:
        return Parity.model_validate_json(content)
    except ValidationError as error:
        place = "/".join(map(str, error.errors(include_url=False)[0]["loc"]))
        raise DataError(f"case {file} is damaged: {place or 'bits'}", hint=_DAMAGED) from error


def save_parity(parity: Parity, file: Path) -> None:
    """Write a case."""
    document = seal(parity.model_dump(exclude={"sha256"}))
    write_atomically(file, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())
