"""A file of records: Parquet, called after the hash of its bytes, so that damage is noticed."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from superdef_bench.core.clock import checking
from superdef_bench.core.errors import DataError
from superdef_bench.io.files import read_file, write_atomically
from superdef_bench.io.seal import note_unsealed

SCHEMA = pa.schema(
    [
        ("key", pa.string()),  # sha256 of all that the row depends on
        ("cell", pa.string()),  # the same without the image
        ("position", pa.int32()),  # place of the image in the dataset's order
        ("dataset", pa.string()),
        ("image_id", pa.string()),
        ("label", pa.int32()),
        ("target", pa.int32()),  # label to reach; null: any wrong one
        ("model", pa.string()),
        ("defense", pa.string()),
        ("rung", pa.string()),  # empty: clean
        ("source", pa.string()),  # what was attacked
        ("attack", pa.string()),
        ("goal", pa.string()),
        ("norm", pa.string()),
        ("eps", pa.float64()),  # null: no ball
        ("seed", pa.int64()),
        ("topk", pa.int32()),
        ("settings", pa.string()),
        ("draws", pa.int32()),
        ("bits", pa.string()),  # one character per scoring draw, 1 where it erred
        ("clean_prediction", pa.int32()),  # -1: failed
        ("prediction", pa.int32()),
        ("label_rank", pa.int32()),  # 0: the label has the highest logit
        ("success", pa.bool_()),  # the image is broken
        ("linf", pa.float64()),
        ("l2", pa.float64()),
        ("forwards", pa.float64()),  # of the attack, mean over the images of its batch
        ("backwards", pa.float64()),
        ("first_step", pa.int32()),  # gradient steps until the attack saw it fooled; -1: never
        ("psnr", pa.float64()),  # of the image the classifier saw, against the clean one
        ("ssim", pa.float64()),
        ("seconds", pa.float64()),
        ("batch_dependent", pa.bool_()),
        ("error", pa.string()),
    ]
)

_EMPTY = {"target", "eps", "error"}  # columns in which a row may have nothing
_AMOUNTS = ("linf", "l2", "forwards", "backwards", "seconds")
_MOST_BYTES = 2**32  # of a file of records; a million of them have some fifty million
_PREFIX = "rows-"
_NAME = re.compile(_PREFIX + r"([0-9a-f]{32})\.parquet")
# It stands in every file that has a hash in its name: under another name it is still one of those.
_MARK = b"superdef_bench.named_by_sha256"
_WRONG = (OSError, ValueError, MemoryError, pa.ArrowException)
_AGAIN = "delete the file; its rows run again"


def write_rows(folder: Path, table: pa.Table) -> Path:
    """Write a table of the schema to a file of its own and return it.

    Raises:
        DataError: The folder is not there, cannot be written, or the disk is full.
    """
    buffer = pa.BufferOutputStream()
    marked = table.replace_schema_metadata({_MARK: b"1"})
    pq.write_table(marked, buffer, compression="zstd", write_page_checksum=True)
    content = buffer.getvalue().to_pybytes()
    path = folder / f"{_PREFIX}{_hash(content)}.parquet"
    write_atomically(path, content, parents=False)
    return path


def read_rows(files: Sequence[Path]) -> pa.Table:
    """Return the rows of files, one behind the other, as one table.

    A file of before there were hashes is read with a note on stderr, one for each folder.

    Raises:
        DataError: One cannot be read, or is not what was written.
    """
    tables = [_read(file) for file in files]
    joined = pa.concat_tables(tables)
    try:
        _check(joined)  # all at once: a run leaves hundreds of small files
    except _WRONG:
        for file, table in zip(files, tables, strict=True):
            try:
                _check(table)
            except _WRONG as error:
                raise _unreadable(file, error) from error
        raise
    return joined


def _unreadable(file: Path, error: BaseException) -> DataError:
    return DataError(f"records {file} cannot be read: {' '.join(str(error).split())}", hint=_AGAIN)


def _read(file: Path) -> pa.Table:
    try:
        content = read_file(file, most=_MOST_BYTES)
    except OSError as error:
        raise DataError(f"records {file} cannot be read: {error.strerror}", hint=_AGAIN) from error
    hashed = is_hashed(file, content)
    if hashed:
        name = _NAME.fullmatch(file.name)
        if name is None or name[1] != _hash(content):
            raise DataError(
                f"records {file} are damaged: its name is not that of what it holds", hint=_AGAIN
            )
    try:
        table = pq.read_table(
            pa.BufferReader(content), schema=SCHEMA, page_checksum_verification=True
        )
    except _WRONG as error:
        raise _unreadable(file, error) from error
    if not hashed:
        note_unsealed(file.parent)
    return table.replace_schema_metadata(None)


def _check(table: pa.Table) -> None:
    """Raise ValueError or ArrowException for rows that no run writes."""
    with checking():
        table.validate(full=True)
        if len(table):
            _check_values(table)


def _check_values(table: pa.Table) -> None:
    for name in set(SCHEMA.names) - _EMPTY:
        if table[name].null_count:
            raise ValueError(f"a row has no {name!r}")
    for name in _AMOUNTS:
        if not pa.compute.all(pa.compute.is_finite(table[name])).as_py():
            raise ValueError(f"a row has a {name!r} that is no number")
    bits = table["bits"]
    right = pa.compute.match_substring_regex(bits, "^[01]{1,255}$")
    as_many = pa.compute.equal(pa.compute.utf8_length(bits), table["draws"])
    if not pa.compute.all(pa.compute.and_(right, as_many)).as_py():
        raise ValueError("the bits of a row are not those of its draws")


def is_hashed(file: Path, content: bytes | None = None) -> bool:
    """Return whether a file was named by its hash, whatever it is called now."""
    given = file.name.startswith(_PREFIX)
    return given or _MARK in (file.read_bytes() if content is None else content)


def _hash(content: bytes) -> str:
    with checking():
        return hashlib.sha256(content).hexdigest()[:32]
