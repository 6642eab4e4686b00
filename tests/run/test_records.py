"""Records on disk: whole or not at all, merged without loss."""

from pathlib import Path
from typing import Any

import pytest

from superdef_bench.core.errors import DataError
from superdef_bench.io.files import write_atomically
from superdef_bench.run.records import RecordStore
from tests.support.rows import record


def row(key: str, **columns: Any) -> dict[str, Any]:
    return record(**{"key": key, "cell": "c", "success": True, "bits": "1", **columns})


def test_what_is_appended_is_found_in_any_order_and_by_another_process(tmp_path: Path) -> None:
    store = RecordStore(tmp_path)
    store.append([row("a", linf=0.5), row("b", error="x")])
    store.append([row("c", linf=0.25)])
    again = RecordStore(tmp_path)
    assert len(again) == 3
    found = again.find(["c", "a"])
    assert found is not None
    assert found["key"].to_pylist() == ["c", "a"]
    assert found["linf"].to_pylist() == [0.25, 0.5]
    assert again.find(["a", "d"]) is None


def test_compaction_loses_nothing_and_keeps_one_of_a_key(tmp_path: Path) -> None:
    for name in ("one", "two"):
        RecordStore(tmp_path / name).append([row("a"), row(name)])
    hosts = tmp_path / "both"
    hosts.mkdir()
    for file in sorted(tmp_path.glob("*/*.parquet")):
        (hosts / file.name).write_bytes(file.read_bytes())
    RecordStore(hosts).compact()
    assert len(list(hosts.glob("*.parquet"))) == 1
    assert len(RecordStore(hosts)) == 3
    RecordStore(hosts).compact()
    assert len(RecordStore(hosts)) == 3


def test_a_file_cut_short_by_a_kill_is_not_seen(tmp_path: Path) -> None:
    store = RecordStore(tmp_path)
    store.append([row("a")])
    (tmp_path / ".half.parquet.tmp").write_bytes(b"PAR1")
    assert len(RecordStore(tmp_path)) == 1


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"nonsense")
    with pytest.raises(DataError, match=r"bad\.parquet cannot be read"):
        RecordStore(tmp_path)


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DataError, match="No space left on device\nhint: make room"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
