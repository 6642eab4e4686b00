"""Every reader takes a damaged file or refuses it in one line: in 5 s and 1 GB, and never else.

200 of each kind in every run of the suite, 20,000 with `-m slow`. `tests/support/*readers.py` say
what is damaged and how, `tests/support/fuzz.py` within which limits it is read.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.counts import count
from tests.support.readers import READERS

pytestmark = [pytest.mark.faults, pytest.mark.ci]

_HERE, _NIGHTLY = 200, 20_000
_FEWER = {"pictures": 30}  # matplotlib takes half a second for those of one file

Ask = Callable[[str, int], dict[str, Any]]


@pytest.fixture(scope="module")
def ask(repository: Path) -> Iterator[Ask]:
    """Return what asks the process that reads, which is started once."""
    environment = {**os.environ, "PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "tests.support.fuzz"]
    with subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=repository,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        writes, reads = process.stdin, process.stdout

        def asked(name: str, number: int) -> dict[str, Any]:
            writes.write(f"{name} {number}\n")
            writes.flush()
            found: dict[str, Any] = json.loads(reads.readline())
            return found

        yield asked
        writes.close()


def _check(name: str, number: int, ask: Ask) -> None:
    found = ask(name, number)
    assert "died" not in found, found
    count(
        f"mutated inputs: {name}",
        tried=found["tried"],
        hung=found["hung"],
        traceback=found["traceback"],
    )
    assert found["tried"] == number
    assert found["refused"] > number // 10, "what is damaged is refused"
    assert not found["failures"], "\n".join(map(str, found["failures"][:3]))


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_read_or_refused_in_one_line(name: str, ask: Ask) -> None:
    _check(name, _FEWER.get(name, _HERE), ask)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_of_many_damaged_files_none_does_harm(name: str, ask: Ask) -> None:
    _check(name, _NIGHTLY, ask)
