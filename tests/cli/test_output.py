"""Standard output is for answers alone, and what cannot be written ends in one line."""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from superdef_bench.cli.output import finish, own_stdout, say
from tests.support.commands import Answer

pytestmark = pytest.mark.faults

Run = Callable[..., Answer]

LOUD = '''
import os, subprocess, sys
from superdef_bench import InputTransform, hookimpl

def shout(where):
    print(where, "printed")
    sys.stdout.write(where + " written\\n")
    if "capture" not in os.environ:
        sys.__stdout__.write(where + " original\\n")
        sys.__stdout__.flush()
        os.write(1, (where + " descriptor\\n").encode())
        subprocess.run(["echo", where, "child"])

shout("import")

class Loud(InputTransform):
    """Enlarges \\x1b[31mloudly\\u202e."""
    def __init__(self, *, mode: str = "\\x1b[2Jnearest"):
        super().__init__()
        shout("factory")
    def transform(self, x):
        shout("transform")
        return x

@hookimpl
def register_defenses():
    shout("hook")
    return {"loud": Loud}
'''
WAYS = ("printed", "written", "original", "descriptor", "child")


@pytest.fixture
def command(
    tmp_path: Path, repository: Path, quiet_environment: dict[str, str]
) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Return a function that runs the command line as a process, behind a shell's redirection."""

    def run(redirection: str, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [
                "sh",
                "-c",
                f'"$@" {redirection}',
                "sh",
                sys.executable,
                "-m",
                "superdef_bench",
                *words,
            ],
            cwd=tmp_path,
            env={**quiet_environment, "PYTHONPATH": str(repository)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_what_a_plugin_prints_by_any_way_is_no_part_of_the_answer(
    command: Callable[..., "subprocess.CompletedProcess[str]"],
    plugin_folder: Callable[..., Path],
    tmp_path: Path,
) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    folder = str(plugin_folder(LOUD))
    done = command("", "apply", "loud", "a.png", "-o", "out", "--plugins-dir", folder)
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["out/a-loud.png", "1"]
    for where in ("import", "hook", "factory", "transform"):
        for way in WAYS:
            assert f"{where} {way}\n" in done.stderr


def test_neither_inside_one_process(
    run_cli: Run, plugin_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("capture", "1")
    folder = plugin_folder(LOUD)
    before = sys.stdout
    answer = run_cli("list", "defense", "--json", "--plugins-dir", folder)
    assert "loud" in {each["name"] for each in json.loads(answer.out)["plugins"]}
    assert "import printed\n" in answer.err
    assert sys.stdout is before
    shown = run_cli("list", "defense", "-v", "--plugins-dir", folder).out
    assert r"\x1b[31mloudly" in shown
    assert r"\u202e" in shown
    assert not {"\x1b", "\u202e"} & set(shown)
    shown = run_cli("apply", "loud", "--help", "--plugins-dir", folder).out
    assert r"\x1b[2J" in shown
    assert not {"\x1b", "\u202e"} & set(shown)
    assert "printed" not in shown


def test_an_error_shows_what_a_plugin_put_into_it(run_cli: Run, plugin_folder: Run) -> None:
    folder = plugin_folder("raise RuntimeError('\\x1b[2J' + 'x' * 2**20 + '\\u202e')")
    answer = run_cli("list", "--plugins-dir", folder)
    assert answer.code == 2
    assert answer.err.startswith("error: plugin ")
    assert r"\x1b[2Jxxx" in answer.err
    assert len(answer.err) < 2000
    assert len(answer.err.splitlines()) == 2


@pytest.mark.parametrize(
    ("redirection", "code", "err"),
    [
        (">/dev/full", 2, "error: standard output cannot be written: No space left on device\n"),
        (">&-", 2, "error: standard output cannot be written: it is closed\n"),
        ("2>&- >/dev/null", 0, ""),
        (">&- 2>&-", 2, ""),
    ],
)
def test_an_answer_that_cannot_be_written_is_exit_2_and_one_line(
    command: Callable[..., "subprocess.CompletedProcess[str]"],
    redirection: str,
    code: int,
    err: str,
) -> None:
    done = command(redirection, "--version")
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(err)
    assert len(done.stderr.splitlines()) == (2 if err else 0)


def test_an_error_stays_one_where_nobody_hears_it(
    command: Callable[..., "subprocess.CompletedProcess[str]"],
) -> None:
    for redirection in ("2>&-", "2>/dev/full"):
        done = command(redirection, "compare", "nowhere", "nowhere")
        assert (done.returncode, done.stdout) == (2, "")


def test_a_reader_that_left_ends_it_quietly(
    tmp_path: Path, repository: Path, quiet_environment: dict[str, str]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    for words in (["--version"], ["run", "--help"]):
        done = subprocess.run(
            [sys.executable, "-m", "superdef_bench", *words],
            stdout=writer,
            stderr=subprocess.PIPE,
            env={**quiet_environment, "PYTHONPATH": str(repository)},
            check=False,
        )
        assert (done.returncode, done.stderr) == (141, b"")
    os.close(writer)


def test_a_lost_answer_hides_no_error_and_a_whole_one_changes_nothing() -> None:
    class Full:
        encoding = "utf-8"

        def fileno(self) -> int:
            raise OSError

        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    before = sys.stdout
    sys.stdout = Full()
    try:
        with own_stdout():
            assert finish(1) == 1
            say("lost")
            assert [finish(code) for code in (0, 1, 2, 130)] == [2, 2, 2, 130]
    finally:
        sys.stdout = before
    assert finish(1) == 1


def test_a_warning_is_one_line() -> None:
    with own_stdout():
        shown = warnings.formatwarning("a\x1b\nb", UserWarning, "file.py", 1)
    assert shown == "warning: a\\x1b b\n"
