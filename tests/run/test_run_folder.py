"""A run folder that is taken away, wanted twice, or left behind by a killed process."""

import errno
import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from superdef_bench.core.errors import DataError
from superdef_bench.io.files import write_atomically
from superdef_bench.run.claim import LOCK, claim
from superdef_bench.run.records import RecordStore
from tests.run.test_records import row
from tests.support.commands import CONFIG, Answer
from tests.support.counts import count

pytestmark = [pytest.mark.faults, pytest.mark.ci]
Begin = Callable[[], subprocess.Popen[str]]

# Many small shards' worth of records, each on disk within a moment: time to take the folder away.
SLOW = CONFIG.replace("limit = 8", "limit = 640").replace("fgsm = {}", "pgd = { steps = 2 }")


@pytest.fixture
def begin(tmp_path: Path, quiet_environment: dict[str, str]) -> Iterator[Begin]:
    """Return a function that starts a run into `runs/slow` as a process of its own."""
    (tmp_path / "slow.toml").write_text(SLOW)
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "superdef_bench", "run", "slow.toml"],
            cwd=tmp_path,
            env=quiet_environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_for_records(folder: Path, process: subprocess.Popen[str], count: int = 2) -> None:
    deadline = time.monotonic() + 60
    while len(list((folder / "records").glob("*.parquet"))) < count:
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("away", ["renamed", "removed"])
def test_a_folder_taken_away_in_mid_run_ends_the_run(
    begin: Begin, tmp_path: Path, away: str
) -> None:
    folder, process = tmp_path / "runs/slow", begin()
    wait_for_records(folder, process)
    folder.rename(tmp_path / "other")  # at once: it is being written to
    if away == "removed":
        shutil.rmtree(tmp_path / "other")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    how = "removed" if away == "removed" else "renamed or replaced"
    first, hint = err.splitlines()
    assert first == (
        f"error: run folder runs/slow was {how} while the run wrote to it: there are no results"
    )
    assert "again" in hint
    assert not list(tmp_path.rglob("results.json"))
    assert not folder.exists()  # nor is it made anew
    count("run folders taken away", tried=1)


def replace(folder: Path) -> None:
    folder.rename(folder.with_name("other"))
    shutil.copytree(folder.with_name("other"), folder)


def lose_a_file(folder: Path) -> None:
    next(folder.glob("records/*.parquet")).unlink()


@pytest.mark.parametrize(
    ("change", "checks", "why"),
    [
        (replace, True, "out was renamed or replaced"),
        (lambda folder: shutil.rmtree(folder / "records"), True, "out/records was removed"),
        (lose_a_file, True, "1 of 2 files of records have gone"),
        # In the moment between the check and the write: the write fails, and makes no folder.
        (shutil.rmtree, False, "out was removed"),
    ],
)
def test_every_write_finds_a_folder_taken_away(
    tmp_path: Path, change: Callable[[Path], None], checks: bool, why: str
) -> None:
    def write() -> None:
        with claim(tmp_path / "out") as claimed:
            check = claimed.check if checks else lambda: None
            store = RecordStore(tmp_path / "out/records", check)
            store.append([row("a")])
            change(tmp_path / "out")
            store.append([row("b")])
            store.compact()

    with pytest.raises(DataError, match=why):
        write()
    assert checks or not (tmp_path / "out").exists()


def test_two_runs_at_once_are_one_run_and_an_error(begin: Begin, tmp_path: Path) -> None:
    both = [begin(), begin()]
    deadline = time.monotonic() + 60
    while all(process.poll() is None for process in both):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    late, first = sorted(both, key=lambda process: process.poll() is None)
    out, err = late.communicate()
    assert (late.returncode, out) == (2, ""), err
    error, hint = err.splitlines()
    who = rf"process {first.pid} on \S+ since \d{{4}}-\d\d-\d\d \d\d:\d\d"
    assert re.fullmatch(f"error: run folder runs/slow is used by {who}", error)
    assert hint == "hint: wait until it ends, or choose another folder with -o"
    first.kill()
    first.wait()
    with claim(tmp_path / "runs/slow"):  # the lock went with the process
        pass
    count("two runs in one folder", tried=1)


# Stops for good in the middle of its second file of records.
HANGS = """
import os, time
from pathlib import Path
from superdef_bench.run.claim import claim
from superdef_bench.run.records import RecordStore
from tests.run.test_records import row
with claim(Path("out")):
    store = RecordStore(Path("out/records"))
    store.append([row("a")])
    os.fsync = lambda handle: (print("writing", flush=True), time.sleep(60))
    store.append([row("b")])
"""


def test_what_a_killed_write_left_is_swept_at_the_next_start(
    tmp_path: Path, repository: Path, quiet_environment: dict[str, str]
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HANGS],
        cwd=tmp_path,
        env={**quiet_environment, "PYTHONPATH": str(repository)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    process.kill()
    process.communicate()
    out = tmp_path / "out"
    assert [path.name[:6] for path in out.glob("records/.*")] == [".rows-"]
    bank = out / "bank/ab"
    bank.mkdir(parents=True)
    left = [bank / f".{'a' * 64}.safetensors.x1_y2z3w", out / ".cost.json.abcd1234"]
    mine = [out / ".notes.markdown", out / "records/.nfs0001", bank / ".x.png"]
    for path in [*left, *mine]:
        path.write_text("")
    with claim(out):
        assert list(out.glob("records/.*")) == [out / "records/.nfs0001"]
        assert not any(path.exists() for path in left)
        assert all(path.exists() for path in mine)
        kept = len(RecordStore(out / "records"))
    count("writes killed in the middle", tried=1, lost=1 - kept)
    assert kept == 1


def test_a_lock_is_let_go_however_the_block_ends(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is used by process"), claim(tmp_path), claim(tmp_path):
        pass
    with pytest.raises(KeyError), claim(tmp_path):
        raise KeyError
    with claim(tmp_path) as claimed:
        claimed.check()
    assert (tmp_path / LOCK).read_bytes() == b""  # it names nobody


def test_without_locks_a_run_goes_on_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none(handle: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)
    (tmp_path / ".cost.json.abcd1234").write_text("of another run, perhaps")
    with claim(tmp_path):
        write_atomically(tmp_path / "file", b"x")
    assert capsys.readouterr().err == (
        f"note: {tmp_path}: its file system has no locks (No locks available): let no other run "
        "write there\n"
    )
    assert (tmp_path / ".cost.json.abcd1234").exists()


def test_damaged_costs_are_refused_before_anything_runs(
    run_cli: Callable[..., Answer], config: Callable[..., Path]
) -> None:
    path = config()
    Path("out").mkdir()
    Path("out/cost.json").write_text('{"key"')
    answer = run_cli("run", path, "-o", "out")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: costs out/cost.json are damaged: ")
    assert answer.err.endswith("\nhint: delete it; it is measured again\n")
    assert not list(Path("out/records").iterdir())


@pytest.mark.parametrize("name", ["cost", "manifest", "results", "Records", "bank", "show"])
def test_a_benchmark_called_like_a_file_of_its_folder_is_refused(
    run_cli: Callable[..., Answer], config: Callable[..., Path], name: str
) -> None:
    answer = run_cli("run", config(name=name))
    assert (answer.code, answer.out) == (2, "")
    assert f"a benchmark cannot be called {name!r}" in answer.err
    assert answer.err.splitlines()[-1] == "hint: rename the config"
    assert not Path("runs").exists()
