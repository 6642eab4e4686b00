"""Bits that flip on disk: a file is refused in one line, or says what it said; never anything else.

Every file that numbers are read from: records, costs and results.
"""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from superdef_bench.core.errors import DataError
from superdef_bench.io.seal import seal
from superdef_bench.measure.run_costs import check_kept
from superdef_bench.results.load import load_published
from superdef_bench.run.record_file import SCHEMA, read_rows, write_rows
from superdef_bench.run.records import RecordStore
from tests.run.test_records import row
from tests.support.counts import count
from tests.support.documents import GOLDEN
from tests.support.gate_documents import cost_row

pytestmark = pytest.mark.faults
_FLIPS = 250
_QUALITY = GOLDEN.parents[2] / "leaderboards/super-resolution-x2.json"


def flips(content: bytes) -> Iterator[bytes]:
    """Yield the content with one bit flipped, another one each time."""
    draw = random.Random(0)
    for bit in draw.sample(range(8 * len(content)), _FLIPS):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bytes(flipped)


def told(path: Path, read: Callable[[Path], Any]) -> Any:
    """Return what is read, or None where it is refused in one line that names the file."""
    try:
        return read(path)
    except DataError as raised:
        error = raised
    assert str(path) in error.message
    assert len(str(error).splitlines()) == 2, str(error)  # the error and its hint
    return None


def rows() -> list[dict[str, Any]]:
    draw = random.Random(1)
    keys = [f"{draw.getrandbits(256):064x}" for _ in range(64)]
    return [
        row(
            key, image_id=f"signs/test/{n}", position=n, bits="1" * 20, draws=20, linf=draw.random()
        )
        for n, key in enumerate(keys)
    ]


def test_a_flipped_bit_in_records_is_refused(tmp_path: Path) -> None:
    RecordStore(tmp_path).append(rows())
    (file,) = tmp_path.glob("*.parquet")
    for content in flips(file.read_bytes()):
        file.write_bytes(content)
        assert told(file, lambda each: read_rows([each])) is None
        with pytest.raises(DataError, match="hint: delete the file; its rows run again"):
            RecordStore(tmp_path)
    count("bits of records", tried=_FLIPS)


def test_records_under_another_name_are_not_taken_for_old_ones(tmp_path: Path) -> None:
    RecordStore(tmp_path).append(rows())
    (file,) = tmp_path.glob("*.parquet")
    for name in (f"{'0' * 32}.parquet", "0.parquet", f"rows-{'0' * 32}.parquet"):
        file = file.rename(tmp_path / name)
        assert told(file, lambda each: read_rows([each])) is None


def test_pages_have_checksums_for_other_readers(tmp_path: Path) -> None:
    file = write_rows(tmp_path, pa.Table.from_pylist(rows(), schema=SCHEMA))
    keys = pq.read_metadata(file).row_group(0).column(0)
    whole = bytearray(file.read_bytes())
    whole[keys.dictionary_page_offset + 500] ^= 1  # among the keys themselves
    file.write_bytes(whole)
    with pytest.raises(OSError, match=r"(?i)crc"):
        pq.read_table(file, page_checksum_verification=True)


def test_records_of_before_there_were_hashes_are_read_with_a_note_and_stay_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (0, 1):
        table = pa.Table.from_pylist(rows()[32 * number :][:32], schema=SCHEMA)
        pq.write_table(table, tmp_path / f"{number:032x}.parquet", compression="zstd")
    store = RecordStore(tmp_path)
    assert len(store) == 64
    for key in "abc":
        store.append([row(key)])
    store.compact()
    names = sorted(path.name[:5] for path in tmp_path.glob("*.parquet"))
    assert names == ["00000", "00000", "rows-"]
    assert len(RecordStore(tmp_path)) == 67
    (note,) = capsys.readouterr().err.splitlines()
    assert note.startswith(f"note: {tmp_path} carries no hash: an earlier version wrote it")


def test_damage_to_old_records_is_never_a_traceback(tmp_path: Path) -> None:
    file = tmp_path / f"{0:032x}.parquet"
    pq.write_table(pa.Table.from_pylist(rows(), schema=SCHEMA), file, compression="zstd")
    refused = 0
    for content in flips(file.read_bytes()):
        file.write_bytes(content)
        # Some hold other values: that is what the note is about.
        found = told(file, lambda each: read_rows([each]))
        assert found is None or found.schema == SCHEMA
        refused += found is None
    assert refused > 0.1 * _FLIPS


@pytest.mark.parametrize("golden", [GOLDEN, _QUALITY], ids=["accuracy", "quality"])
def test_a_flipped_bit_in_results_changes_nothing_or_is_refused(
    tmp_path: Path, golden: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, content, refused = tmp_path / "results.json", golden.read_bytes(), 0
    for flipped in flips(content):
        path.write_bytes(flipped)
        found = told(path, load_published)
        assert found is None or found.document == json.loads(content)
        refused += found is None
    assert refused > 0.8 * _FLIPS  # the others flipped a space
    count("bits of results", tried=_FLIPS)
    assert capsys.readouterr().err == ""


def test_a_flipped_bit_in_costs_changes_nothing_or_is_refused(tmp_path: Path) -> None:
    costs = {
        "key": "0123456789abcdef" * 4,
        "rows": [cost_row(name, "pipeline", memory=1.5) for name in ("none", "jpeg")],
        "reference_ms": 1.25,
        "forward": {"none": 0.01, "jpeg": 0.02},
    }
    file, content, refused = tmp_path / "cost.json", json.dumps(seal(costs), indent=1).encode(), 0
    for flipped in flips(content):
        file.write_bytes(flipped)
        found = told(tmp_path, check_kept)
        assert found is None or found == seal(costs)
        refused += found is None
    assert refused > 0.5 * _FLIPS
    file.write_bytes(content.replace(b"0.02", b"0.03"))
    with pytest.raises(DataError, match=r"are damaged: .*\nhint: delete it; it is measured again"):
        check_kept(tmp_path)
    file.write_bytes(json.dumps(costs).encode())
    assert check_kept(tmp_path) is None  # of an earlier version: measured again
    count("bits of costs", tried=_FLIPS)
