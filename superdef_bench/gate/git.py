"""What git keeps of a file, asked so that no repository makes git run anything. No torch.

A repository's own configuration can name programs: a file monitor, hooks, a pager, a checker of
signatures, a differ, a remote that is asked for what is missing. Only plumbing is called, which
reads objects, and each of these is switched off besides. The user's own configuration stays, and
with it `safe.directory`: git refuses a repository that belongs to somebody else.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from superdef_bench.core.errors import DataError
from superdef_bench.core.visible import one_line

_SECONDS = 60.0
_OFF = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.pager": "cat",
    "core.sshCommand": "false",
    "core.askPass": "",
    "credential.helper": "",
    "diff.external": "",
    "gpg.program": "false",
    "log.showSignature": "false",
    "protocol.allow": "never",
    "submodule.recurse": "false",
}
# A transport that the repository allows by name would still run without the first.
_QUIET = {
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
}


def commits_of(file: Path, most: int) -> Sequence[str]:
    """Return the short names of the last `most` commits that changed a file, newest first.

    Raises:
        DataError: Git is not installed, takes too long, or knows no history of the file.
    """
    return _git(file, "rev-list", "--abbrev-commit", f"-{most}", "HEAD", "--", file.name).split()


def content_at(file: Path, commit: str) -> str | None:
    """Return what a file held at a commit; None where the commit has no such file.

    Raises:
        DataError: As `commits_of`.
    """
    place = f"{commit}:./{file.name}"
    listed = _git(file, "ls-tree", "--name-only", commit, "--", file.name)
    return _git(file, "cat-file", "blob", place) if listed else None


def _git(file: Path, *words: str) -> str:
    program = shutil.which("git")
    if program is None:
        raise DataError("git is not installed", hint="name results files instead")
    # What is set for another call, by a hook say or by a stranger, is not meant for this one.
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    off = [word for name, value in _OFF.items() for word in ("-c", f"{name}={value}")]
    try:
        done = subprocess.run(  # noqa: S603  # a list of words, no shell
            [program, "--no-pager", "--literal-pathspecs", "-C", str(file.parent), *off, *words],
            env={**own, **_QUIET},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(
            f"git took more than {_SECONDS:g} s for {file}", hint="leave --commits out"
        ) from error
    if done.returncode:
        reason = one_line(done.stderr) or "no reason given"
        raise DataError(f"git knows no history of {file}: {reason}", hint="leave --commits out")
    return done.stdout
