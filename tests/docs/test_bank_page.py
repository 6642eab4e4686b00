"""The commands of the page on the bank run from top to bottom, and the last attacks nothing."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from superdef_bench.run.bank.origin import Origin
from superdef_bench.run.bank.transfer import FORMAT
from tests.docs.test_docs import blocks
from tests.support.commands import Answer

pytestmark = pytest.mark.ci

_PAGE = Path(__file__).parents[2] / "docs/bank.md"


def test_the_commands_of_the_page_run(run_cli: Callable[..., Answer]) -> None:
    (commands,) = blocks(_PAGE, "sh")
    *others, last = [shlex.split(line)[1:] for line in commands.splitlines()]
    for words in others:
        answer = run_cli(*words)
        assert (answer.code, answer.err) == (0, ""), words
    stamps = {file: file.stat().st_mtime_ns for file in Path("runs/there/bank").glob("*/*")}
    assert run_cli(*last).code == 0
    kept = {file: file.stat().st_mtime_ns for file in Path("runs/there/bank").glob("*/*")}
    assert kept == stamps
    (code,) = blocks(_PAGE, "python")
    exec(compile(code, str(_PAGE), "exec"), {})  # the page's own code
    found = torch.load("pgd.pt", weights_only=True)
    named = set(re.findall(r"`(\w+)`", _PAGE.read_text().split("| key | what |")[1]))
    assert found.keys() <= named
    assert found["format"] == FORMAT
    assert Origin.model_fields.keys() - found.keys() == {"key", "start"}
