"""Standard output for what a command answers, and for nothing else.

Whatever plugins and libraries print goes to standard error, so that `--json` is JSON and a table
is a table. Names are shown by `core.visible`. A full disk or a closed pipe behind standard output
never ends in a traceback: the command goes on, and `finish` says what was lost.
"""

import io
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TextIO

from superdef_bench.core.visible import one_line, shortened, visible

_STDOUT, _STDERR = 1, 2  # file descriptors
_PIPE_CLOSED = 128 + 13  # as a shell tells of SIGPIPE
_OK, _NO, _ERROR = 0, 1, 2  # exit codes: done, the answer is no, no answer


class _Answer(io.TextIOBase):
    """A stream that remembers the first write that failed instead of raising.

    Each write goes all the way: nothing waits in a buffer that a forked child would write again.

    Args:
        stream: Where text goes; None where standard output was closed before the start.
        own: Whether the stream was opened here.
    """

    errors = "backslashreplace"

    def __init__(self, stream: TextIO | None, *, own: bool = False) -> None:
        self._stream, self._own = stream, own
        self.failure: OSError | ValueError | None = None
        self.lost = False

    @property
    def encoding(self) -> str:  # type: ignore[override]  # the base has an attribute
        return getattr(self._stream, "encoding", None) or "ascii"

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def write(self, text: str) -> int:
        shown = text + ""  # of bytes a TypeError, by which click tells streams apart
        if self._stream is None or self.failure is not None:
            self.lost |= bool(shown)
            return len(shown)
        try:
            self._stream.write(shown)
            self._stream.flush()
        except (OSError, ValueError) as error:  # ValueError: somebody closed it
            self.failure, self.lost = error, True
            if self._own and not self._stream.closed:
                _occupy(self._stream.fileno())  # what is still held goes quietly
        return len(shown)


_answer: _Answer | None = None


@contextmanager
def own_stdout() -> Iterator[None]:
    """Keep standard output for `say`, `write` and `console` until the process ends.

    Inside, file descriptor 1 is standard error, for child processes and C code too. Python's
    `sys.stdout` stays what the parser of the command line prints help to, until `strangers`.
    Standard streams that are closed are replaced, so that no file that is opened later becomes one.
    """
    global _answer
    before, kept = sys.stdout, _answer
    if sys.stderr is None:
        _occupy(_STDERR)
        sys.stderr = open(_STDERR, "w", closefd=False)  # noqa: SIM115  # for the process
    _answer = _private(before)
    told = warnings.formatwarning
    warnings.formatwarning = _warning
    sys.stdout = _answer
    try:
        yield
    finally:
        sys.stdout, _answer = before, kept
        warnings.formatwarning = told


def _private(stdout: TextIO | None) -> _Answer:
    """Return a stream to standard output that nobody else has; descriptor 1 becomes stderr's."""
    if stdout is None:
        _occupy(_STDOUT)
        return _Answer(None)
    try:
        if stdout.fileno() != _STDOUT:
            return _Answer(stdout)
    except (OSError, ValueError):  # a stream in memory
        return _Answer(stdout)
    with suppress(OSError):  # what it held is lost with it
        stdout.flush()
    place = os.dup(_STDOUT)
    os.dup2(_STDERR, _STDOUT)
    own = open(place, "w", encoding=stdout.encoding, errors=_Answer.errors)  # noqa: SIM115, PTH123  # for the process
    return _Answer(own, own=True)


def _occupy(descriptor: int) -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    if nothing != descriptor:
        os.dup2(nothing, descriptor)
        os.close(nothing)


@contextmanager
def strangers() -> Iterator[None]:
    """Send to standard error what is printed inside, by plugins and by the libraries they use."""
    with redirect_stdout(sys.stderr):
        yield


def out() -> TextIO:
    """Return the stream of answers, whatever `sys.stdout` is by now."""
    return sys.stdout if _answer is None else _answer  # type: ignore[return-value]  # see own_stdout


def encoding() -> str:
    """Return the encoding of standard output."""
    return out().encoding or "ascii"


def say(*lines: object) -> None:
    """Print each on a line of its own, whatever is in it."""
    for line in lines:
        out().write(visible(line) + "\n")


def write(text: str) -> None:
    """Print a text of several lines as it is, but for controls and what hides in it."""
    out().write(visible(text, keep="\n"))


def remark(line: object) -> None:
    """Print a line on standard error, and go on where that is closed or full."""
    _complain(shortened(one_line(line)))


def complain(error: object) -> None:
    """Print an error on standard error: its line, and the line of its hint."""
    _complain(f"error: {visible(error, keep=chr(10))}")


def _complain(text: str) -> None:
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def _warning(message: Warning | str, *_: object, **__: object) -> str:
    return f"warning: {shortened(one_line(message))}\n"


def finish(code: int = _OK) -> int:
    """Flush standard output; return the exit code, which tells of an answer that got lost.

    Args:
        code: Of the command. An error stays one; 0 and 1 are worth nothing if nobody could read
            the answer.

    Returns:
        `code`, or 141 where the reader of the pipe is gone, or 2 where standard output is full,
        broken or closed, with a line on standard error.
    """
    answer = _answer
    _settle_stderr()
    if answer is None or not answer.lost or code not in (_OK, _NO):
        return code
    if isinstance(answer.failure, BrokenPipeError):
        return _PIPE_CLOSED
    why = getattr(answer.failure, "strerror", None) or answer.failure or "it is closed"
    _complain(f"error: standard output cannot be written: {why}\nhint: what was printed is lost")
    return _ERROR


def _settle_stderr() -> None:
    """Let what stderr holds go where it is full: Python would end with a code of its own."""
    try:
        sys.stderr.flush()
    except (OSError, ValueError):
        _occupy(_STDERR)
