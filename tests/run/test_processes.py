"""Real processes: killed, interrupted, and started again."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from superdef_bench.results.load import load_results
from superdef_bench.results.schema import AccuracyRow
from tests.support.documents import untimed

pytestmark = pytest.mark.ci

CONFIG = """
[run]
dataset = "signs"
model = "signs_resnet8"
limit = 66
masking = 0
eot = 1
rungs = ["gray_box", "bpda"]

[attacks]
pgd = { steps = 4 }

[defenses]
jpeg = {}
random_resize_pad = {}
"""


@pytest.fixture
def start(tmp_path: Path, quiet_environment: dict[str, str]) -> "Start":
    return Start(tmp_path, quiet_environment)


# Allocators that give back what is freed, so that the peak is what the program holds: left alone
# they keep 100 MiB more or not, as the machine's memory happens to be.
THRIFTY = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
}


class Start:
    """Starts the same run in a folder of its own, as a user would."""

    def __init__(self, root: Path, environment: dict[str, str]) -> None:
        self._root, self._environment = root, environment

    def __call__(self, name: str) -> subprocess.Popen[str]:
        folder = self._root / name
        folder.mkdir(exist_ok=True)
        (folder / "slow.toml").write_text(CONFIG)
        return subprocess.Popen(
            [sys.executable, "-m", "superdef_bench", "run", "slow.toml"],
            cwd=folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell that puts the tests into the background has Ctrl-C ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def files(self, name: str) -> list[Path]:
        return list((self._root / name / "runs/slow/records").glob("*.parquet"))

    def wait_for_records(self, name: str, process: subprocess.Popen[str], count: int) -> None:
        deadline = time.monotonic() + 60
        while len(self.files(name)) < count:
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def table(self, name: str) -> list[AccuracyRow]:
        """Return the accuracy rows of a run, without the time that they took."""
        results = load_results(self._root / name / "runs/slow")
        return untimed(results.accuracy)


def test_a_killed_run_goes_on_and_ends_in_the_same_table(start: Start) -> None:
    undisturbed = start("undisturbed")
    for signal_number, count in ((signal.SIGKILL, 3), (signal.SIGKILL, 9)):
        process = start("killed")
        start.wait_for_records("killed", process, count)
        process.send_signal(signal_number)
        process.wait()
        assert process.returncode == -signal.SIGKILL
        assert len(start.files("killed")) >= count
    last = start("killed")
    out, err = last.communicate()
    assert last.returncode == 0, err
    assert "of them reused" in out
    assert undisturbed.wait() == 0
    assert start.table("killed") == start.table("undisturbed")
    assert len(start.files("killed")) == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_says_so_and_keeps_its_records(
    start: Start, number: signal.Signals, code: int
) -> None:
    process = start("stopped")
    start.wait_for_records("stopped", process, 3)
    process.send_signal(number)
    out, err = process.communicate()
    assert process.returncode == code
    assert out == ""
    assert err.startswith("error: stopped after ")
    assert err.endswith("hint: the same command goes on from there\n")
    assert len(err.splitlines()) == 2
    assert len(start.files("stopped")) >= 3


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images(
    tmp_path: Path, quiet_environment: dict[str, str]
) -> None:
    code = """
import resource, sys
from superdef_bench.cli import main
sys.argv = ["superdef-bench", *sys.argv[1:]]
try:
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)
"""
    (tmp_path / "c.toml").write_text(CONFIG.replace("pgd = { steps = 4 }", "fgsm = {}"))

    def peak(limit: int) -> int:
        words = ["run", "c.toml", "--limit", str(limit), "-d", "bit_depth", "-o", f"runs/{limit}"]
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=tmp_path,
            env={**quiet_environment, **THRIFTY},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return int(done.stderr.split()[-1])

    # 960 more images are 11 MB of pixels, and as much again for every example of them.
    few, many = peak(64), peak(1024)
    assert many - few < 40, f"{few} MiB with 64 images, {many} MiB with 1024"
