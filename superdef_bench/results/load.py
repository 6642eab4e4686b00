"""Read results files; what is none, or a damaged one, is one line. No torch."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from superdef_bench.core.errors import DataError
from superdef_bench.io.documents import parse_json
from superdef_bench.io.files import read_file
from superdef_bench.results.facts import SCHEMA
from superdef_bench.results.schema import QualityResults, Results

FILE = "results.json"
MOST_BYTES = 2**28  # twenty rows of fifty cells on 50,000 images have less
_SHOWN = 40  # characters of what stands in a wrong place
_AGAIN = "run the config again"
_QUALITY_AGAIN = "superdef-bench quality writes them again"


def load_results(path: Path) -> Results:
    """Read a results.json, or the one in a run folder.

    Raises:
        DataError: It is missing, no JSON, of another schema, or contradicts itself.
    """
    file = _file(path)
    found = _accuracy(file, _content(file))
    if found is None:
        raise DataError(
            f"{file} holds the quality of restored photographs, no accuracy",
            hint="superdef-bench run CONFIG writes accuracy",
        )
    return found


def load_published(path: Path) -> Results | QualityResults:
    """Read a results file of either kind: accuracy, or the quality of restored photographs.

    Raises:
        DataError: It is missing, no JSON, of another schema, or contradicts itself.
    """
    file = _file(path)
    content = _content(file)
    found = _accuracy(file, content)
    if found is not None:
        return found
    try:
        return QualityResults.parse(content)
    except ValidationError as error:
        raise _damaged(file, error, _QUALITY_AGAIN) from error


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


def _accuracy(file: Path, content: bytes) -> Results | None:
    """Return the results of a file of accuracy; None for a file of quality."""
    try:
        if b"NaN" in content or b"Infinity" in content:  # perhaps in a name only
            _check_json(file, content)
        found = Results.parse(content)
        return None if "quality" in (found.model_extra or {}) else found
    except ValidationError as error:
        # Only what is no file of accuracy is looked at a second time.
        if "quality" not in _check_json(file, content):
            raise _damaged(file, error, _AGAIN) from error
    return None


def _check_json(file: Path, content: bytes) -> dict[str, Any]:
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
        hint = "remove 'changes' from the file"  # it was measured as it is
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
