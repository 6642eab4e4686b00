"""A process that reads damaged inputs within limits of memory and time, and counts what went wrong.

It takes lines `reader count` and answers each with a line of JSON. Every reader is tried in a child
of its own, made by a fork after everything is imported, so that eleven cost one start of torch.
"""

import base64
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from superdef_bench.core.errors import SuperdefError
from superdef_bench.core.loader import load_plugins
from tests.support.reader import Reader
from tests.support.readers import READERS

MEMORY = 2**30  # bytes that an input may take beyond what the process has
SECONDS = 5.0  # of the processor, for one input
_ASLEEP = 30  # seconds after which an input that computes nothing counts as hanging


class _HangError(BaseException):
    """The time of an input is over."""


def _ring(signum: int, frame: object) -> None:
    raise _HangError


def try_reader(reader: Reader, count: int, folder: Path) -> dict[str, Any]:
    """Return how many damaged inputs were tried, and what became of those that went wrong."""
    signal.signal(signal.SIGALRM, _ring)
    found: dict[str, Any] = {"tried": 0, "refused": 0, "hung": 0, "traceback": 0, "failures": []}

    # Seeds are what is drawn, so that an input costs the same whatever reads it.
    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**64 - 1))
    def one(number: int) -> None:
        content = reader.damage(random.Random(number))
        (folder / "last").write_bytes(content)
        why, taken = _outcome(reader, content)
        found["tried"] += 1
        found["refused"] += why == "refused"
        if taken > SECONDS or why == "hung":
            found["hung"] += 1
        elif why not in ("read", "refused"):
            found["traceback"] += 1
        else:
            return
        if len(found["failures"]) < 20:
            found["failures"].append(_told(reader, content, why, taken))

    one()
    return found


def _outcome(reader: Reader, content: bytes) -> tuple[str, float]:
    """Return `read`, `refused`, `hung` or a traceback, and the seconds that it computed."""
    start = time.process_time()
    why = "read"
    signal.setitimer(signal.ITIMER_REAL, _ASLEEP)
    try:
        reader.read(content)
    except SuperdefError as error:
        lines = str(error).splitlines()
        # Each mistake of a config is told in one line, with its hint, ten at most.
        each = [str(e).splitlines() for e in getattr(error, "errors", [error])]
        good = all(1 <= len(told) <= 2 for told in each) and len(lines) <= 2 * min(len(each), 11)
        why = "refused" if good else f"a message of {len(lines)} lines: {lines[:3]}"
    except _HangError:
        why = "hung"
    except BaseException:  # all that is no SuperdefError is what is looked for
        why = traceback.format_exc(limit=-6)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return why, time.process_time() - start


def _told(reader: Reader, content: bytes, why: str, taken: float) -> dict[str, Any]:
    shown = base64.b64encode(content[:4_000_000]).decode()
    return {"reader": reader.name, "why": why, "seconds": round(taken, 2), "input": shown}


def _limit_memory() -> None:
    """Let this process have `MEMORY` more than it has: address space is far larger than that."""
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    data = next(int(line.split()[1]) for line in status if line.startswith("VmData:"))
    resource.setrlimit(resource.RLIMIT_DATA, (data * 1024 + MEMORY,) * 2)


def _child(name: str, count: int, folder: Path, answer: int) -> None:
    os.chdir(folder)
    reader = READERS[name](folder)
    _limit_memory()
    os.write(answer, json.dumps(try_reader(reader, count, folder)).encode())


def _serve(name: str, count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        ours, theirs = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(ours)
            code = 1
            try:
                _child(name, count, Path(place), theirs)
                code = 0
            except BaseException:
                traceback.print_exc()
            os._exit(code)
        os.close(theirs)
        with os.fdopen(ours, "rb") as pipe:
            answer = pipe.read()
        _, status = os.waitpid(pid, 0)
        if answer:
            found: dict[str, Any] = json.loads(answer)
            return found
        # The child is gone: a crash, or a limit at which nothing could be raised.
        last = Path(place) / "last"
        content = last.read_bytes() if last.exists() else b""
        return {"died": status, "input": base64.b64encode(content[:4_000_000]).decode()}


def main() -> None:
    """Answer one line after the other."""
    load_plugins()
    for line in sys.stdin:
        name, count = line.split()
        sys.stdout.write(json.dumps(_serve(name, int(count))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
