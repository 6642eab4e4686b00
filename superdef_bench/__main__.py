"""The command line as a process; signals are heard from the first import on."""

import sys
from typing import NoReturn

from superdef_bench.io.process import last_words, leave, listen


def main() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    listen()
    try:
        from superdef_bench import cli

        code = cli.run_typed()
    except BaseException as error:  # imports that fail or are stopped
        words, code = last_words(error)
        print(f"error: {words}", file=sys.stderr)
    leave(code)


if __name__ == "__main__":
    main()
