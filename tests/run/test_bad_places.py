"""A full disk and folders that cannot be written: one line, exit code 2, nothing finished lost."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.commands import Answer, records

pytestmark = pytest.mark.ci

Run = Callable[..., Answer]
Write = Callable[..., Path]


def test_a_full_disk_is_one_line_and_keeps_what_is_finished(
    run_cli: Run, config: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real, calls = config(), os.fsync, []

    def fills_up(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 4:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr("os.fsync", fills_up)
    answer = run_cli("run", path, "-o", "out")
    assert answer.code == 2
    assert "cannot be written: No space left on device" in answer.err
    assert answer.err.splitlines()[-1].startswith("hint: make room")
    kept = len(records(Path("out")))
    assert kept
    monkeypatch.setattr("os.fsync", real)
    again = run_cli("run", path, "-o", "out")
    assert again.code == 0
    assert f"{kept} of them reused" in again.out


def test_a_folder_that_cannot_be_written_is_one_line(run_cli: Run, config: Write) -> None:
    Path("file").write_text("in the way")
    answer = run_cli("run", config(), "-o", "file/out")
    assert answer.code == 2
    assert "cannot be written" in answer.err
    assert answer.err.splitlines()[-1] == "hint: choose another folder with -o"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder_is_one_line(run_cli: Run, config: Write) -> None:
    Path("locked").mkdir(mode=0o500)
    answer = run_cli("run", config(), "-o", "locked/out")
    assert answer.code == 2
    assert "Permission denied" in answer.err


def test_a_file_that_may_not_grow_is_one_line(config: Write, tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096));"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); sys.argv = ['superdef-bench', 'run', "
        f"{str(config())!r}, '-o', {str(tmp_path / 'out')!r}];"
        "from superdef_bench.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "cannot be written: File too large" in done.stderr


def test_an_l2_attack_without_eps_is_one_line(run_cli: Run, config: Write) -> None:
    for row, hint in (("pgd = { norm = 'l2' }", 'eps = "0.5"'), ("cw = {}", 'eps = "0.5"')):
        text = Path(config()).read_text().replace("fgsm = {}", row)
        answer = run_cli("run", config(text))
        assert answer.code == 2
        assert len(answer.err.splitlines()) == 2
        assert hint in answer.err
