"""Read results files; what is none, or a damaged one, is one line. No torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from superdef_bench.core.errors import DataError
from superdef_bench.io.documents import parse_json
from superdef_bench.io.files import read_file
from superdef_bench.io.seal import is_sealed, note_unsealed
from superdef_bench.results.facts import SCHEMA
from superdef_bench.results.schema import QualityResults, Results

FILE = "results.json"
MOST_BYTES = 2**28  # twenty rows of fifty cells on 50,000 images have less
_SHOWN = 40  # characters of what stands in a wrong place
_AGAIN = "run the config again"
_QUALITY_AGAIN = "superdef-bench quality writes them again"
_PUBLISH_AGAIN = "publish it again from its run folder"

Kind = TypeVar("Kind", Results, QualityResults)


def load_results(path: Path, *, noted: bool = True) -> Results:
    """Read a results.json, or the one in a run folder.

    Args:
        path: File or folder.
        noted: Say on stderr where the file carries no hash, because it is older than those.

    Raises:
        DataError: It is missing, no JSON, of another schema, not what its hash was made of, or
            contradicts itself.
    """
    file = _file(path)
    content = _content(file)
    document = _check(file, content)
    if "quality" in document:
        raise DataError(
            f"{file} holds the quality of restored photographs, no accuracy",
            hint="superdef-bench run CONFIG writes accuracy",
        )
    return _read(Results, file, content, document, noted=noted)


def load_sealed(path: Path) -> Results:
    """Read a results.json, or the one in a run folder, that carries its hash.

    Raises:
        DataError: See `load_results`; or it carries none.
    """
    found = load_results(path, noted=False)
    if found.sha256 is None:
        raise DataError(
            f"results {_file(path)} carry no hash, and whether they were changed cannot be told",
            hint=f"{_AGAIN}: every file of this version carries one",
        )
    return found


def load_published(path: Path) -> Results | QualityResults:
    """Read a results file of either kind: accuracy, or the quality of restored photographs.

    Raises:
        DataError: See `load_results`.
    """
    file = _file(path)
    content = _content(file)
    document = _check(file, content)
    if "quality" in document:
        return _read(QualityResults, file, content, document, noted=True)
    return _read(Results, file, content, document, noted=True)


def _file(path: Path) -> Path:
    return path / FILE if path.is_dir() else path


def _content(file: Path) -> bytes:
    try:
        return read_file(file, most=MOST_BYTES)
    except OSError as error:
        raise DataError(
            f"results {file} cannot be read: {error.strerror}",
            hint="name a run folder or its results.json; superdef-bench run CONFIG writes them",
        ) from error


def _read(
    kind: type[Kind], file: Path, content: bytes, document: Mapping[str, Any], *, noted: bool
) -> Kind:
    sealed = is_sealed(
        document, f"results {file}", hint=_AGAIN if file.name == FILE else _PUBLISH_AGAIN
    )
    try:
        found = kind.parse(content)
    except ValidationError as error:
        raise _damaged(file, error, _QUALITY_AGAIN if kind is QualityResults else _AGAIN) from error
    if noted and not sealed:
        note_unsealed(file)
    return found


def _check(file: Path, content: bytes) -> dict[str, Any]:
    """Return what a file holds, or raise DataError unless it is JSON of this version's schema."""
    try:
        document = parse_json(content)
    except ValueError as error:
        raise DataError(f"results {file} are no JSON: {error}", hint=_AGAIN) from error
    schema = document.get("schema") if isinstance(document, dict) else None
    again = _QUALITY_AGAIN if isinstance(document, dict) and "quality" in document else _AGAIN
    if not isinstance(schema, int) or isinstance(schema, bool):
        raise DataError(f"{file} is no results file: it has no schema", hint=_AGAIN)
    if schema != SCHEMA:
        raise DataError(
            f"results {file} have schema {schema}, this version reads {SCHEMA}",
            hint="upgrade superdef-bench" if schema > SCHEMA else again,
        )
    found: dict[str, Any] = document
    return found


def _damaged(file: Path, error: ValidationError, hint: str) -> DataError:
    if error.errors(include_url=False)[0]["loc"][:1] == ("changes",):
        hint = _PUBLISH_AGAIN  # it was measured as it is
    return DataError(f"results {file} are damaged: {_mistake(error)}", hint=hint)


def _mistake(error: ValidationError) -> str:
    """Return the first thing that is wrong with a document, in words."""
    first = error.errors(include_url=False)[0]
    where = [str(part) for part in first["loc"]]
    if first["type"] == "missing":
        place = "there is" if len(where) == 1 else f"{_place(where[:-1])} has"
        return f"{place} no {where[-1]!r}"
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])
    if first["type"] == "json_invalid":
        return str(first["msg"])
    given = repr(first["input"])
    given = given if len(given) <= _SHOWN else f"{given[:_SHOWN]}..."
    should = first["msg"].removeprefix("Input ")
    return f"{'/'.join(where)} {should}, not {given}"


def _place(where: list[str]) -> str:
    return "a row" if where[0] in ("accuracy", "quality") else "/".join(where)
