"""What a results file holds: its rows, and the file of accuracy or of quality. No torch.

docs/results-format.md says what each key means; docs/results.schema.json is made of these models
by `make schema`.
"""

import json
import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from superdef_bench.core.threats import (
    ADAPTIVE,
    CLEAN,
    MASKING,
    NO_ATTACK,
    RUNGS,
    UNDEFENDED,
    WORST,
    Rung,
)
from superdef_bench.io.files import write_atomically
from superdef_bench.io.seal import seal
from superdef_bench.results.facts import (
    Amount,
    Attack,
    Base64,
    Changes,
    Count,
    DatasetFacts,
    Defense,
    GoalOfRow,
    Machine,
    Model,
    ModelFacts,
    Name,
    NormWord,
    NotApplicable,
    Positive,
    Provenance,
    Resized,
    RungOfRow,
    RungWord,
    Scale,
    Scope,
    Sha256,
    Share,
    Source,
    TargetWord,
    ThreatFacts,
    Versions,
    Whole,
)
from superdef_bench.results.statistics import (
    count_bits,
    unpack_counts,
    unpack_floats,
    unpack_integers,
)


class Columns(Model):
    """What names a cell."""

    dataset: str
    model: str
    defense: Name
    rung: RungOfRow
    source: str
    attack: Name
    goal: GoalOfRow
    topk: Positive
    target: TargetWord
    norm: NormWord
    eps: Amount | None
    settings: str
    draws: Positive
    eot: Positive | None = None

    @property
    def clean(self) -> bool:
        """Whether nothing was attacked."""
        return not self.rung and self.attack == NO_ATTACK

    @property
    def probe(self) -> bool:
        """Whether a gradient was probed."""
        return self.rung == MASKING

    @property
    def worst(self) -> bool:
        """Whether it is a worst case over other rows."""
        return self.attack == WORST

    @property
    def attacked(self) -> Rung | None:
        """The rung; None of clean rows, probes, and the worst case over all rungs."""
        return Rung(self.rung) if self.rung in RUNGS else None

    @property
    def made_on(self) -> str:
        """What tells rows of one rung and attack apart; where there is one source, nothing."""
        rung = self.attacked
        return self.source if rung is not None and rung.sourced else ""

    @property
    def place(self) -> tuple[object, ...]:
        """What tells the rows of a defense apart."""
        return self.rung, self.attack, self.eps, self.made_on

    @property
    def rung_title(self) -> str:
        """What tables call the rung, also of clean rows, probes and worst cases."""
        rung = self.attacked
        return (self.rung or CLEAN).capitalize() if rung is None else rung.title


class AccuracyRow(Columns):
    """One accuracy: of a defense, under an attack of a rung, at an eps."""

    subset: Literal["all"]
    n: Positive
    correct: Count
    accuracy: Share
    ci_low: Share
    ci_high: Share
    conditional_n: Count | None
    conditional_accuracy: Share | None
    ids_sha256: Annotated[str, Field(pattern="^[0-9a-f]+$")]
    verdicts: Base64
    shares: Base64 | None = None
    first_steps: Base64 | None = None
    smallest_eps: Base64 | None = None
    forwards: Amount | None = None
    backwards: Amount | None = None
    psnr: float | None = None
    ssim: float | None = None
    batch_dependent: bool = False
    errors: Count = 0
    outside: Annotated[
        Count,
        Field(description="Examples that rounding carried out of the ball: they count as clean."),
    ] = 0
    top5_accuracy: Share | None = None
    seconds: Amount | None = None
    broken_by: dict[str, Count] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        what = f"{self.defense} / {self.attack}"
        if self.rung == ADAPTIVE and self.smallest_eps is None:
            raise ValueError(f"{what}: there is no 'smallest_eps'")
        try:
            count = count_bits(self.verdicts, self.n)
        except ValueError as error:
            raise ValueError(f"{what}: verdicts: {error}") from error
        if count != self.correct:
            raise ValueError(f"{what}: {count} bits are set, correct says {self.correct}")
        for key, text, unpack, least, most in (
            ("shares", self.shares, unpack_counts, 0, self.draws),
            ("first_steps", self.first_steps, unpack_integers, -1, math.inf),
            ("smallest_eps", self.smallest_eps, unpack_floats, 0, math.inf),
        ):
            if text is None:
                continue
            try:
                found = unpack(text)
            except ValueError as error:
                raise ValueError(f"{what}: {key}: {error}") from error
            if len(found) != self.n:
                raise ValueError(f"{what}: {key} are {len(found)}, not {self.n}")
            if not (least <= found.min() and found.max() <= most):  # of a NaN neither is true
                raise ValueError(f"{what}: {key} are not all within {least} and {most}")
        return self


class Failure(Columns):
    """A cell that gave no number."""

    error: str


class Refusal(Columns):
    """A cell that was not run: it would have taken too long."""

    why: str


class Latency(Model):
    """Milliseconds of a pass: percentiles."""

    p10: Amount
    p50: Amount
    p90: Amount
    p99: Amount


class CostRow(Model):
    """What a pass takes. Further columns are measured: a number, or null."""

    __pydantic_extra__: dict[str, float | None]

    defense: Name
    model: str
    scope: Scope
    batch_size: Positive
    size: Annotated[list[Positive], Field(min_length=2, max_length=2)]
    dtype: str
    mode: str
    params: Count
    gmac: Amount
    gflop: Amount
    ops: Count | None = None
    bytes: Amount | None = None
    bytes_fused: Amount | None = None
    throughput: Amount | None = None
    memory: Amount | None = None
    latency_ms: Latency | None = None


class Document(Model):
    """Results that are published."""

    schema_: Literal[2] = Field(alias="schema")
    # What a file says without it is what it was made of: whoever reads a file checks that.
    sha256: Sha256 | None = None
    name: Annotated[str, Field(json_schema_extra={"minLength": 1})]  # publishing says why not
    changes: Changes | None = None
    published_in: str | None = None

    _content: bytes = PrivateAttr(default=b"")

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Return results from the bytes of their file.

        Raises:
            pydantic.ValidationError: It is not what such a file holds.
        """
        found = cls.model_validate_json(content)
        found._content = content
        return found

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Return results from their JSON, with its hash; one that stands there counts for nothing.

        Raises:
            pydantic.ValidationError: It is not what such a file holds.
        """
        return cls.parse(_text(document))

    @property
    def document(self) -> dict[str, Any]:
        """The JSON, also what this version knows nothing of, in the order of the file."""
        found: dict[str, Any] = json.loads(self._content)
        return found

    def published(self, folder: str) -> Self:
        """Return the same results, which say in which folder their page stands."""
        if self.published_in == folder:
            return self
        return self.of({**self.document, "published_in": folder})

    def to_json(self) -> bytes:
        """Return the JSON with its hash, indented so that a diff reads well; rows keep order."""
        return _text(self.document)

    def save(self, path: Path) -> None:
        """Write the JSON."""
        write_atomically(path, self.to_json())


def _text(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(seal(document), indent=1, allow_nan=False) + "\n").encode()


class Results(Document):
    """One benchmark's results."""

    provenance: Provenance
    config: Annotated[
        dict[str, Any],
        Field(
            description="The resolved config, see config.md.",
            json_schema_extra={"properties": {"name": {"type": "string"}}, "required": ["name"]},
        ),
    ]
    dataset: DatasetFacts
    model: ModelFacts
    threat: ThreatFacts
    rungs: list[RungWord]
    seed: Whole
    sources: list[Source] = Field(default_factory=list)
    attacks: dict[str, Attack]
    defenses: dict[str, Defense]
    accuracy: list[AccuracyRow]
    cost: list[CostRow]
    failures: list[Failure]
    refused: list[Refusal] = Field(default_factory=list)
    not_applicable: list[NotApplicable]
    undefended_at: Resized | None = None

    @property
    def last_eps(self) -> float:
        """The largest radius, at which rows are ranked."""
        return self.threat.eps[-1]

    def is_added(self, defense: str) -> bool:
        """Return whether another run made the rows of a defense than those of the table."""
        return self.provenance_of(defense) is not self.provenance

    def provenance_of(self, defense: str) -> Provenance:
        """Return how the rows of a defense were made: as all, or by the run they come from."""
        facts = self.defenses.get(defense)
        return (facts.provenance if facts else None) or self.provenance

    @cached_property
    def _by_defense(self) -> Mapping[str, list[AccuracyRow]]:
        found: dict[str, list[AccuracyRow]] = {}
        for row in self.accuracy:
            found.setdefault(row.defense, []).append(row)
        return found

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        for row in self.accuracy:
            if row.defense not in self.defenses:
                raise ValueError(f"a row is of {row.defense!r}, which is no defense of the file")
            if row.attacked and not row.worst and row.attack not in self.attacks:
                raise ValueError(f"a row is of {row.attack!r}, which is no attack of the file")
        return self

    def rows(self, *, defense: str | None = None, **wanted: Any) -> Iterator[AccuracyRow]:
        """Yield the accuracy rows whose columns have the wanted values."""
        for row in self.accuracy if defense is None else self._by_defense.get(defense, ()):
            if all(getattr(row, column) == value for column, value in wanted.items()):
                yield row

    def row(self, **wanted: Any) -> AccuracyRow | None:
        """Return the first such row, or None."""
        return next(self.rows(**wanted), None)

    def clean(self, defense: str = UNDEFENDED) -> AccuracyRow | None:
        """Return the row of a defense on images that nobody attacked."""
        return self.row(defense=defense, rung="", attack=NO_ATTACK)

    def worst(self, defense: str, rung: str, eps: float | None = None) -> AccuracyRow | None:
        """Return a worst case of a defense, at the last eps where none is given."""
        radius = self.last_eps if eps is None else eps
        return self.row(defense=defense, rung=rung, attack=WORST, eps=radius)


class QualityRow(Model):
    """How well a network restores the photographs of a set."""

    network: str
    dataset: str
    scale: Scale
    psnr: float
    ssim: Annotated[float, Field(le=1)]
    n: Positive


class Network(Model):
    """A network that restores photographs."""

    params: Count
    gmac: Amount | None
    weights_sha256: Sha256


class QualityProvenance(Model):
    """How quality was measured."""

    command: str
    file: str
    versions: Versions
    machine: Machine


class QualityResults(Document):
    """Quality of restored photographs."""

    scale: Scale
    provenance: QualityProvenance
    sets: dict[str, Sha256]
    networks: dict[str, Network]
    quality: list[QualityRow]

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        for row in self.quality:
            if row.network not in self.networks:
                raise ValueError(f"a row is of {row.network!r}, which is no network of the file")
            if row.dataset not in self.sets:
                raise ValueError(f"a row is on {row.dataset!r}, which is no set of the file")
        return self


Published = Results | QualityResults
