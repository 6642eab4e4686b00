"""The command line as a process; signals are heard from here on."""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn


def _stop_at_once(number: int, frame: FrameType | None) -> None:
    """End the process where only imports run: an exception could get lost in one."""
    os.write(2, b"error: stopped: nothing was begun\n")
    os._exit(128 + number)


def main() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _stop_at_once)
    from superdef_bench.io.process import last_words, leave, listen

    try:
        from superdef_bench import cli

        listen()
        code = cli.run_typed()
    except BaseException as error:  # imports that fail; a signal in the last moment
        words, code = last_words(error)
        print(f"error: {words}", file=sys.stderr)
    leave(code)


if __name__ == "__main__":
    main()
