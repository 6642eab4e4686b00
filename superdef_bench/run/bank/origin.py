"""What made a file of the bank: the JSON beside it. No torch."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from superdef_bench.core.errors import DataError
from superdef_bench.core.fingerprint import fingerprint
from superdef_bench.core.threats import Rung, Threat, parse_eps
from superdef_bench.io.documents import parse_json, shown
from superdef_bench.io.files import read_file, write_atomically
from superdef_bench.io.seal import SEAL, is_sealed, seal
from superdef_bench.results.facts import (
    Arguments,
    Count,
    Model,
    Name,
    NormWord,
    Positive,
    RungWord,
    Sha256,
    TargetWord,
    Whole,
)

SCHEMA = 1  # of an origin, in the bank and in an export
SCHEMA_KEY = "schema"
_MOST_BYTES = 2**22  # of an origin: 64 images with long names
IMAGES = frozenset({"key", "start", "ids", "labels", "digests"})  # what two files never share


class Origin(Model):
    """What made the examples of a few images in a row, and of which images.

    Attributes:
        key: Under which the bank holds them.
        made_by: Fingerprint of attack, source, ball, goal, seed and code: the key without images.
        harness: Fingerprint of the code that attacks, as it was.
        attack: Name of its row.
        arguments: Of the attack, its plugin among them.
        norm: Of the ball.
        eps: As the config writes it.
        radius: As a number.
        rung: Whose examples they are: gray box, transfer or surrogate.
        source: What was attacked: the bare classifier, another one, or a defense of the table.
        weights: sha256 of the bare classifier's parameters and buffers.
        batch: Size of the batches that the examples may depend on; None where they do not.
        start: Place of the first image in the dataset.
        ids: Image ids.
        digests: sha256 of each image and its label.
    """

    key: Sha256
    made_by: Sha256
    harness: Sha256
    attack: Name
    arguments: Arguments
    norm: NormWord
    eps: str
    radius: Annotated[float, Field(gt=0)] | None
    rung: RungWord
    source: Name
    dataset: Name
    split: str
    dataset_sha256: str
    model: Name
    weights: Sha256
    class_names: list[str]
    shape: Annotated[list[Positive], Field(min_length=3, max_length=3)]
    seed: Whole
    topk: Positive
    target: TargetWord
    eot: Positive
    batch: Positive | None
    start: Count
    ids: Annotated[list[str], Field(min_length=1)]
    labels: list[Count]
    digests: list[Sha256]

    @model_validator(mode="after")
    def _agrees(self) -> "Origin":
        if not len(self.ids) == len(self.labels) == len(self.digests):
            raise ValueError("ids, labels and digests are not as many")
        if (parse_eps(self.eps) if self.eps else None) != self.radius:
            raise ValueError("eps and radius are not the same")
        if self.key != key_of(self.made_by, self.ids, self.digests, self.batch):
            raise ValueError("the key is not that of these images")
        return self

    @property
    def threat(self) -> Threat:
        """The ball that the examples lie in."""
        return Threat(self.norm, self.radius)  # type: ignore[arg-type]  # one of the norms

    @property
    def bare(self) -> bool:
        """Whether they were made on the bare classifier."""
        return self.rung == Rung.GRAY_BOX

    @property
    def made_on(self) -> str:
        """What was attacked, in words."""
        if self.bare:
            return "bare classifier"
        return ("defense " if self.rung == Rung.SURROGATE else "classifier ") + self.source

    @property
    def shared(self) -> dict[str, Any]:
        """What all files say alike that one attack on one source at one radius wrote."""
        return self.model_dump(exclude=set(IMAGES))

    def document(self) -> dict[str, Any]:
        """Return it as it stands in a file, with its schema."""
        return {SCHEMA_KEY: SCHEMA, **self.model_dump()}


def key_of(made_by: str, ids: Sequence[str], digests: Sequence[str], batch: int | None) -> str:
    """Return the key under which a run looks for the examples of these images.

    The run makes its own (`Worker.replayed`); were they not the same, nothing would be found.
    """
    return fingerprint(made_by, list(ids), list(digests), "" if batch is None else batch)


def check_schema(document: Mapping[str, Any], what: str) -> None:
    """Raise DataError for what another version wrote.

    Args:
        document: An origin or an export.
        what: What it is, for messages.
    """
    schema = document.get(SCHEMA_KEY)
    if schema != SCHEMA:
        raise DataError(
            f"{what} is of schema {shown(schema)}, this version reads {SCHEMA}",
            hint="take the version of superdef-bench that wrote it",
        )


def parse_origin(told: Mapping[str, Any]) -> Origin:
    """Return the origin in a document, without its schema and hash.

    Raises:
        ValueError: It is no origin, or contradicts itself.
    """
    try:
        return Origin.model_validate(dict(told))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "/".join(map(str, first["loc"]))
        raise ValueError(": ".join(filter(None, (where, first["msg"])))) from error


def read_origin(file: Path) -> Origin | None:
    """Return what made a file of the bank; None where nothing says so.

    Raises:
        DataError: What says so is of another schema.
        ValueError: It is damaged, or belongs to another file.
    """
    beside = file.with_suffix(".json")
    try:
        document = parse_json(read_file(beside, most=_MOST_BYTES))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError(f"{beside.name} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{beside.name} is no JSON: {error}") from error
    try:
        if not isinstance(document, dict) or not _is_whole(document):
            raise ValueError("it carries no hash")
        check_schema(document, f"origin {beside}")
        rest = {name: told for name, told in document.items() if name not in (SCHEMA_KEY, SEAL)}
        origin = parse_origin(rest)
        if origin.key != file.stem:
            raise ValueError("it is of another key")
    except ValueError as error:
        raise ValueError(f"{beside.name}: {error}") from error
    return origin


def _is_whole(document: dict[str, Any]) -> bool:
    try:
        return is_sealed(document, "its words", hint="")
    except DataError as error:
        raise ValueError(error.message) from error


def write_origin(file: Path, origin: Origin) -> None:
    """Write what made a file of the bank beside it."""
    text = json.dumps(seal(origin.document()), sort_keys=True) + "\n"
    write_atomically(file.with_suffix(".json"), text.encode(), durable=False)
