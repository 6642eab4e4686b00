"""The process: the signals that stop it, what its last error says, and its end. No torch."""

import atexit
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from superdef_bench.core.calls import reason
from superdef_bench.core.errors import InterruptError, SuperdefError

DEBUG_VARIABLE = "SUPERDEF_DEBUG"
_ERROR = 2
_SIGNAL = 128  # a shell's exit code of a signal is this and its number

_stopped_by = 0


def _stop(number: int, frame: FrameType | None) -> None:
    global _stopped_by
    _stopped_by = number
    raise KeyboardInterrupt


def listen() -> None:
    """Let SIGTERM stop the process as Ctrl-C does; what is ignored, as under nohup, stays so."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


@contextmanager
def stoppable() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C inside the block, in a program that does not `listen`."""
    try:
        before = signal.signal(signal.SIGTERM, _stop)
    except ValueError:  # not in the main thread, where no signal arrives
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def check_stopped() -> None:
    """Raise KeyboardInterrupt if a signal came that somebody swallowed.

    A signal may come while Python runs a destructor, or code of a plugin that catches everything.
    """
    if _stopped_by:
        raise KeyboardInterrupt


def interrupt_code() -> int:
    """Return the exit code of a process that was stopped: 130 by Ctrl-C, 143 by SIGTERM."""
    return _SIGNAL + (_stopped_by or signal.SIGINT)


def last_words(error: BaseException) -> tuple[SuperdefError, int]:
    """Return what to say of an error that nobody caught, on one line, and the exit code.

    With `SUPERDEF_DEBUG` set its traceback goes to stderr.
    """
    if os.environ.get(DEBUG_VARIABLE):
        with suppress(Exception):
            traceback.print_exception(error)
    if isinstance(error, KeyboardInterrupt):
        told: SuperdefError = InterruptError("stopped: files that were finished are kept")
        return told, interrupt_code()
    if isinstance(error, InterruptError):
        return error, interrupt_code()
    if isinstance(error, SuperdefError):
        return error, _ERROR
    hint = f"this should not happen, here or in a plugin; {DEBUG_VARIABLE}=1 shows where it did"
    return SuperdefError(reason(error), hint=hint), _ERROR


def leave(code: int) -> NoReturn:
    """End the process; threads that a plugin left running do not keep it alive."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    main = threading.main_thread()
    if all(thread.daemon for thread in threading.enumerate() if thread is not main):
        sys.exit(code)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code)
