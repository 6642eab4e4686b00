"""What a person at a terminal sees while something long runs."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import CONFIG


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
    assert re.search(r"bpda fgsm bicubic_x2 \(native\) .* \d+/80 images \d:\d\d:\d\d left", seen)
    assert "tiny, linf 8/255" in out
    assert "left" not in out


@pytest.mark.parametrize("nested", [True, False])
def test_a_bar_inside_a_bar_is_not_drawn(
    tmp_path: Path, quiet_environment: dict[str, str], nested: bool
) -> None:
    inner = "with progress_bar(1) as bar: bar.show('inner'); bar.advance(1)"
    outer = f"with progress_bar(1) as bar:\n    bar.show('outer')\n    {inner}"
    code = f"from superdef_bench.io.progress import progress_bar\n{outer if nested else inner}"
    seen = at_a_terminal(["-c", code], tmp_path, quiet_environment)[1]
    assert ("outer" in seen, "inner" in seen) == (nested, not nested)
