"""results.json: accuracy, cost and quality rows with their provenance. No torch."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superdef_bench.core.errors import DataError
from superdef_bench.io.files import write_atomically
from superdef_bench.results.statistics import unpack_bits, unpack_counts, unpack_integers

SCHEMA = 2
FILE = "results.json"

Row = Mapping[str, Any]

_KEYS = {
    *("name", "provenance", "config", "dataset", "model", "threat", "rungs", "seed", "attacks"),
    *("defenses", "accuracy", "cost", "failures", "not_applicable"),
}
_ROW_KEYS = {
    *("defense", "rung", "attack", "eps", "n", "correct", "verdicts", "ids_sha256"),
    *("conditional_n", "conditional_accuracy"),
}


@dataclass(frozen=True)
class Document:
    """Results that are published; `document` is the JSON, see docs/results-format.md."""

    document: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.document["name"])

    def to_json(self) -> bytes:
        """Return the JSON, indented, so that a diff reads well; rows keep their order."""
        return (json.dumps(self.document, indent=1, allow_nan=False) + "\n").encode()

    def save(self, path: Path) -> None:
        """Write the JSON."""
        write_atomically(path, self.to_json())


class Results(Document):
    """One benchmark's results."""

    @property
    def accuracy(self) -> list[Row]:
        return list(self.document["accuracy"])

    def rows(self, **wanted: Any) -> Iterator[Row]:
        """Yield the accuracy rows whose columns have the wanted values."""
        for row in self.document["accuracy"]:
            if all(row[key] == value for key, value in wanted.items()):
                yield row

    def row(self, **wanted: Any) -> Row | None:
        """Return the first such row, or None."""
        return next(self.rows(**wanted), None)


def load_results(path: Path) -> Results:
    """Read a results.json, or the one in a run folder.

    Raises:
        DataError: It is missing, no JSON, of another schema, or contradicts itself.
    """
    file, document = read_document(path)
    if "quality" in document:
        raise DataError(
            f"{file} holds the quality of restored photographs, no accuracy",
            hint="superdef-bench run CONFIG writes accuracy",
        )
    _check_rows(file, document)
    return Results(document)


def read_document(path: Path) -> tuple[Path, dict[str, Any]]:
    """Return the results file that a path means, and what it holds, of this version's schema.

    Raises:
        DataError: It is missing, no JSON, or of another schema.
    """
    file = path / FILE if path.is_dir() else path
    try:
        document = json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse)
    except OSError as error:
        raise DataError(
            f"results {file} cannot be read: {error.strerror}",
            hint="name a run folder or its results.json; superdef-bench run CONFIG writes them",
        ) from error
    except ValueError as error:
        raise DataError(
            f"results {file} are no JSON: {error}", hint="run the config again"
        ) from error
    schema = document.get("schema") if isinstance(document, dict) else None
    if not isinstance(schema, int):
        raise DataError(f"{file} is no results file: it has no schema", hint="run the config again")
    if schema != SCHEMA:
        raise DataError(
            f"results {file} have schema {schema}, this version reads {SCHEMA}",
            hint="upgrade superdef-bench" if schema > SCHEMA else "run the config again",
        )
    return file, document


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _check_rows(file: Path, document: Mapping[str, Any]) -> None:
    try:
        absent = _KEYS - document.keys()
        if absent:
            raise ValueError(f"there is no {sorted(absent)[0]!r}")
        for row in document["accuracy"]:
            missing = _ROW_KEYS - row.keys()
            if missing:
                raise ValueError(f"a row has no {sorted(missing)[0]!r}")
            _check_lengths(row)
            count = int(unpack_bits(row["verdicts"], row["n"]).sum())
            if count != row["correct"]:
                what = f"{row['defense']} / {row['attack']}"
                raise ValueError(f"{what}: {count} bits are set, correct says {row['correct']}")
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"results {file} are damaged: {error}", hint="run the config again"
        ) from error


def _check_lengths(row: Row) -> None:
    for key, unpack in (("shares", unpack_counts), ("first_steps", unpack_integers)):
        if key in row and len(unpack(row[key])) != row["n"]:
            raise ValueError(f"{row['defense']} / {row['attack']}: {key} are not {row['n']}")


COLUMNS = ("network", "dataset", "scale", "psnr", "ssim", "n")


class QualityResults(Document):
    """Quality of restored photographs."""

    @property
    def rows(self) -> list[Row]:
        return list(self.document["quality"])


def load_quality(path: Path) -> QualityResults:
    """Read a file of quality rows.

    Raises:
        DataError: It is missing, no JSON, of another schema, or lacks a column.
    """
    file, document = read_document(path)
    try:
        for row in document["quality"]:
            missing = set(COLUMNS) - row.keys()
            if missing:
                raise ValueError(f"a row has no {sorted(missing)[0]!r}")
            document["networks"][row["network"]], document["sets"][row["dataset"]]
        for key in ("name", "provenance", "scale"):
            document[key]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"results {file} are damaged: {error}", hint="superdef-bench quality writes them again"
        ) from error
    return QualityResults(document)
