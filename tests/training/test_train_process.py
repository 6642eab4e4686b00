"""A training as a real process: stopped, resumed, killed."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.ci

_STEPS = 400


class Training:
    """Starts the same training in a photo_folder of its own."""

    def __init__(self, photographs: Path, root: Path, environment: dict[str, str]) -> None:
        self._photographs, self._root, self._environment = photographs, root, environment

    def start(self, name: str, *words: str) -> subprocess.Popen[str]:
        (self._root / name).mkdir(exist_ok=True)
        flags = [
            *("--size", "1x8", "--patch", "8", "--batch-size", "2", "--holdout", "1"),
            *("--steps", str(_STEPS), "--every", "20", "--data", str(self._photographs)),
            *("-o", "out"),
        ]
        return subprocess.Popen(
            [sys.executable, "-m", "superdef_bench", "train", "edsr", *flags, *words],
            cwd=self._root / name,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell that puts the tests into the background has Ctrl-C ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def stop(self, name: str, process: subprocess.Popen[str], number: signal.Signals) -> str:
        """Send a signal once there is a checkpoint; return what the process then says."""
        deadline = time.monotonic() + 60
        while not (self._root / name / "out/edsr_1x8_x2.checkpoint.safetensors").exists():
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(number)
        return process.communicate()[1]

    def results(self, name: str) -> list[bytes]:
        files = ("edsr_1x8_x2.safetensors", "edsr_1x8_x2.json")
        return [(self._root / name / "out" / file).read_bytes() for file in files]


@pytest.fixture
def training(photo_folder: Path, tmp_path: Path, quiet_environment: dict[str, str]) -> Training:
    return Training(photo_folder, tmp_path, {**quiet_environment, "OMP_NUM_THREADS": "1"})


def test_a_stopped_or_killed_training_goes_on_to_the_same_weights(training: Training) -> None:
    whole = training.start("whole")
    process = training.start("cut")
    said = training.stop("cut", process, signal.SIGINT).splitlines()
    assert process.returncode == 2
    assert said[-2].startswith("error: stopped at step ")
    assert "checkpoint.safetensors holds step " in said[-2]
    assert said[-1] == "hint: the same command with --resume goes on"
    assert not any("Traceback" in line for line in said)
    process = training.start("cut", "--resume")
    training.stop("cut", process, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    last = training.start("cut", "--resume")
    out, err = last.communicate()
    assert last.returncode == 0, err
    assert out.split() == ["out/edsr_1x8_x2.safetensors", "out/edsr_1x8_x2.json"]
    assert f"step 20/{_STEPS}," not in err
    assert whole.wait() == 0
    assert training.results("cut") == training.results("whole")
