"""Per-image records on disk: Parquet files that appear whole, so that a kill loses nothing."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from superdef_bench.core.errors import DataError
from superdef_bench.run.record_file import SCHEMA, is_hashed, read_rows, write_rows


class RecordStore:
    """The records of a run folder.

    Every append is one file, renamed into place when complete. `compact` merges the files.

    Args:
        folder: Where the files are.
        check: Called before anything is written; raises where that is no place to write any more.

    Raises:
        DataError: A file is not what was written.
    """

    def __init__(self, folder: Path, check: Callable[[], None] = lambda: None) -> None:
        self._folder, self._check = folder, check
        self._rows: dict[str, int] = {}
        self._table = SCHEMA.empty_table()
        self._written: dict[str, pa.Table] = {}  # what this object's own files hold
        files = sorted(folder.glob("*.parquet"))
        self._files = {file.name for file in files}  # that have to be there
        if files:
            self._table = read_rows(files)
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
        """Return what was tried on which image in every row, and the verdict."""
        columns = ["image_id", "defense", "rung", "attack", "eps", "success"]
        return self._table.select(columns).to_pylist()

    def append(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Write the rows that are new to a file of their own; return all, known ones as stored.

        A row that was stored keeps its numbers, so that a later run finds the same ones.
        """
        known = {row["key"]: self._rows[row["key"]] for row in rows if row["key"] in self._rows}
        places = pa.array(known.values(), pa.int64())
        stored = dict(zip(known, self._table.take(places).to_pylist(), strict=True))
        table = to_table(row for row in rows if row["key"] not in known)
        if len(table):
            self._check()
            name = write_rows(self._folder, table).name
            self._files.add(name)
            self._written[name] = table
        return [stored.get(row["key"], dict(row)) for row in rows]

    def compact(self) -> None:
        """Merge the files into one; the old ones go once the new one is on disk.

        What this object wrote is not read back: its rows are at hand. Those of before there were
        hashes stay as they are: a hash of today would vouch for them.

        Raises:
            DataError: A file is damaged, or has gone since it was read or written.
        """
        self._check()
        files = {file.name: file for file in sorted(self._folder.glob("*.parquet"))}
        gone = sorted(self._files - files.keys())
        if gone:
            raise DataError(
                f"{len(gone)} of {len(self._files)} files of records have gone from {self._folder}",
                hint="run the same command again: what they held runs again",
            )
        merged = {name: file for name, file in files.items() if is_hashed(file)}
        if len(merged) < 2:
            return
        others = [file for name, file in merged.items() if name not in self._written]
        parts = [self._written[name] for name in merged if name in self._written]
        table = pa.concat_tables([*([read_rows(others)] if others else []), *parts])
        unique = {key: row for row, key in enumerate(table["key"].to_pylist())}
        table = table.take(pa.array(sorted(unique.values()), pa.int64()))
        self._check()
        kept = write_rows(self._folder, table)
        for name, file in merged.items():
            if name != kept.name:
                file.unlink()
        self._files = {kept.name} | (files.keys() - merged.keys())
        self._written = {kept.name: table}


def to_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return rows as a table of the schema."""
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


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
