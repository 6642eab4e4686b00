"""A repository of somebody else: its history is read, and nothing that it configures is run."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from superdef_bench.core.errors import DataError
from superdef_bench.gate import git as asked
from tests.support.commands import Answer
from tests.support.gate_documents import document, right, saved

pytestmark = pytest.mark.faults

Run = Callable[..., Answer]


def git(folder: Path, *words: str) -> str:
    name = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", "-C", str(folder), *name, *words], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository_of_a_stranger(tmp_path: Path) -> tuple[Path, Path]:
    """Return a file with two commits whose repository wants programs run, and what those write."""
    folder, marker = tmp_path / "theirs", tmp_path / "ran"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / ".gitattributes").write_text("*.json diff=theirs filter=theirs\n")
    for count in (50, 60):
        file = saved(folder, "board", document({("jpeg", "", "none"): right(100, count)}))
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "-m", str(count))
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\necho "$0 $*" >> {marker}\ncat "$1" 2>/dev/null\nexit 0\n')
    program.chmod(0o755)
    for hook in ("post-checkout", "pre-auto-gc", "post-index-change", "reference-transaction"):
        (folder / ".git/hooks" / hook).write_text(f"#!/bin/sh\necho {hook} >> {marker}\n")
        (folder / ".git/hooks" / hook).chmod(0o755)
    for key in (
        *("core.fsmonitor", "core.pager", "core.sshCommand", "core.editor", "gpg.program"),
        *("diff.external", "diff.theirs.textconv", "diff.theirs.command", "filter.theirs.smudge"),
        *("filter.theirs.process", "pager.log", "pager.show", "remote.origin.uploadpack"),
        *("interactive.diffFilter", "credential.helper"),
    ):
        git(folder, "config", key, str(program))
    git(folder, "config", "log.showSignature", "true")
    git(folder, "config", "protocol.file.allow", "always")
    return file, marker


def test_its_history_is_read_and_no_program_of_it_runs(
    run_cli: Run, repository_of_a_stranger: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, marker = repository_of_a_stranger
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(file.parents[1] / "program"))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    answer = run_cli("history", file, "--metric", "clean", "--commits", "5")
    assert (answer.code, answer.err) == (0, "")
    assert "3 versions" in answer.out
    assert not marker.exists()


def test_what_it_lacks_is_fetched_by_no_program_of_it(
    run_cli: Run, repository_of_a_stranger: tuple[Path, Path]
) -> None:
    file, marker = repository_of_a_stranger
    folder = file.parent
    old = git(folder, "rev-parse", f"HEAD~1:{file.name}")
    (folder / ".git/objects" / old[:2] / old[2:]).unlink()
    git(folder, "config", "core.repositoryFormatVersion", "1")
    git(folder, "config", "extensions.partialClone", "origin")
    git(folder, "config", "remote.origin.promisor", "true")
    git(folder, "config", "remote.origin.url", str(folder))
    answer = run_cli("history", file, "--metric", "clean", "--commits", "5")
    assert answer.code == 2
    assert answer.err.startswith(f"error: git knows no history of {file}: ")
    assert not marker.exists()


def test_what_git_says_and_how_long_it_takes_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "git"
    slow.write_text("#!/bin/sh\nexec sleep 5\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(asked, "_SECONDS", 0.1)
    with pytest.raises(DataError, match=r"git took more than 0\.1 s"):
        asked.commits_of(tmp_path / "a.json", 1)
    slow.write_text("#!/bin/sh\nprintf 'fatal: \\033[2J\\nno\\n' >&2\nexit 1\n")
    with pytest.raises(DataError) as error:
        asked.commits_of(tmp_path / "a.json", 1)
    assert r"fatal: \x1b[2J no" in str(error.value)
