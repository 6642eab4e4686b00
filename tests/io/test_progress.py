"""What a person at a terminal sees while something long runs."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from superdef_bench.io import progress
from tests.support.commands import CONFIG, Answer

pytestmark = pytest.mark.ci


def at_a_terminal(words: list[str], folder: Path, environment: dict[str, str]) -> tuple[str, str]:
    """Run a command with stderr on a terminal; return its stdout and what the terminal got."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        env={**environment, "TERM": "xterm", "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux says so when the other end closes
            break
        if not part:
            break
        seen += part
    out = process.communicate()[0].decode()
    os.close(ours)
    assert process.returncode == 0, seen.decode()
    return out, re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode())


def test_a_run_shows_what_it_does_how_many_images_and_time_left(
    tmp_path: Path, quiet_environment: dict[str, str]
) -> None:
    (tmp_path / "tiny.toml").write_text(CONFIG)
    out, seen = at_a_terminal(
        ["-m", "superdef_bench", "run", "tiny.toml"], tmp_path, quiet_environment
    )
    what = r"attacking: bicubic_x2 \(native\) · fgsm · bpda"
    shown = what + r" .* \d+% images 1 to 8 of 8 \d:\d\d:\d\d left"
    assert re.search(shown, seen)
    assert "tiny, linf 8/255" in out
    assert "left" not in out


def test_piped_it_is_a_line_a_minute(
    run_cli: Callable[..., Answer], config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    hour = iter(range(0, 10**6, 25))  # so many seconds between two looks at the clock
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: float(next(hour))))
    answer = run_cli("run", config(), "-o", "out")
    assert answer.code == 0, answer.err
    lines = [line for line in answer.err.splitlines() if "attacking: " in line]
    said = (
        r"attacking: bicubic_x2 \(native\) · fgsm · bpda, images 1 to 8 of 8, \d+ % of the work, "
    )
    assert any(re.fullmatch(said + r"0:\d\d:\d\d gone, about \d:\d\d:\d\d left", x) for x in lines)
    times = [re.search(r"(\d+):(\d\d):(\d\d) gone", line) for line in lines]
    seconds = [60 * int(found[2]) + int(found[3]) for found in times if found]
    assert len(seconds) == len(lines) > 1
    assert seconds[0] >= 60
    assert all(after - before >= 60 for before, after in pairwise(seconds))


def test_what_is_over_in_a_minute_says_nothing(
    run_cli: Callable[..., Answer], config: Callable[..., Path]
) -> None:
    assert run_cli("run", config(), "-o", "out").err == ""


@pytest.mark.parametrize("nested", [True, False])
def test_a_bar_inside_a_bar_is_not_drawn(
    tmp_path: Path, quiet_environment: dict[str, str], nested: bool
) -> None:
    inner = "with progress_bar(1) as bar: bar.show('inner'); bar.advance(1)"
    outer = f"with progress_bar(1) as bar:\n    bar.show('outer')\n    {inner}"
    code = f"from superdef_bench.io.progress import progress_bar\n{outer if nested else inner}"
    seen = at_a_terminal(["-c", code], tmp_path, quiet_environment)[1]
    assert ("outer" in seen, "inner" in seen) == (nested, not nested)
