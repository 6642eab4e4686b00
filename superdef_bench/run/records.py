"""Per-image records on disk: Parquet files that appear whole, so that a kill loses nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from superdef_bench.core.errors import DataError
from superdef_bench.core.fingerprint import fingerprint
from superdef_bench.io.files import file_size, write_atomically

_MOST_BYTES = 2**32  # of a file of records; a million of them have some fifty million

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


class RecordStore:
    """The records of a run folder.

    Every append is one file, renamed into place when complete. `compact` merges the files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: dict[str, int] = {}
        self._table = SCHEMA.empty_table()
        files = sorted(folder.glob("*.parquet"))
        if files:
            self._table = pa.concat_tables([_read(file) for file in files])
            # The same key twice is the same row: a merge was cut short, or hosts overlapped.
            self._rows = {key: row for row, key in enumerate(self._table["key"].to_pylist())}

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, keys: Sequence[str]) -> pa.Table | None:
        """Return the rows of `keys` in their order, or None if one is missing."""
        rows = [self._rows.get(key) for key in keys]
        if None in rows:
            return None
        return self._table.take(pa.array(rows, pa.int64()))

    def of_image(self, image_id: str) -> list[dict[str, Any]]:
        """Return all rows of an image."""
        table = self._table.filter(pa.compute.field("image_id") == image_id)
        return list({row["key"]: row for row in table.to_pylist()}.values())

    def rows(self) -> list[dict[str, Any]]:
        """Return image, rung and verdict of every row."""
        return self._table.select(["image_id", "rung", "success"]).to_pylist()

    def append(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Write the rows that are new to a file of their own; return all, known ones as stored.

        A row that was stored keeps its numbers, so that a later run finds the same ones.
        """
        known = {row["key"]: self._rows[row["key"]] for row in rows if row["key"] in self._rows}
        places = pa.array(known.values(), pa.int64())
        stored = dict(zip(known, self._table.take(places).to_pylist(), strict=True))
        table = to_table(row for row in rows if row["key"] not in known)
        if len(table):
            name = fingerprint(table["key"].to_pylist())[:32]
            _write(self._folder / f"{name}.parquet", table)
        return [stored.get(row["key"], dict(row)) for row in rows]

    def compact(self) -> None:
        """Merge all files into one; the old ones go once the new one is on disk."""
        files = sorted(self._folder.glob("*.parquet"))
        if len(files) < 2:
            return
        table = pa.concat_tables([_read(file) for file in files])
        unique = {key: row for row, key in enumerate(table["key"].to_pylist())}
        table = table.take(pa.array(sorted(unique.values()), pa.int64()))
        merged = self._folder / f"{fingerprint(sorted(unique))[:32]}.parquet"
        _write(merged, table)
        for file in files:
            if file != merged:
                file.unlink()


def to_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return rows as a table of the schema."""
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


def _write(path: Path, table: pa.Table) -> None:
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd")
    write_atomically(path, buffer.getvalue().to_pybytes())


def _read(file: Path) -> pa.Table:
    try:
        file_size(file, most=_MOST_BYTES)
        table = pq.read_table(file, schema=SCHEMA)
        table.validate(full=True)
        _check(table)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise DataError(
            f"records {file} cannot be read: {' '.join(str(error).split())}",
            hint="delete the file; its rows run again",
        ) from error
    return table


def _check(table: pa.Table) -> None:
    """Raise ValueError for rows that no run writes."""
    if not len(table):
        return
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


@dataclass
class Outcome:
    """What a run has found so far.

    Attributes:
        tables: Records of each cell, shard by shard, by the cell's key.
        failures: Why a cell failed, by its key.
        reused: Records that were found in the folder.
        computed: Records that were made.
    """

    tables: dict[str, list[pa.Table]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    reused: int = 0
    computed: int = 0
