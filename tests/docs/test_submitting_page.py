"""docs/submitting.md as a contributor reads it: its files are written, its commands run."""

import runpy
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from superdef_bench.results.load import load_results
from superdef_bench.results.rows import score
from tests.journeys.page import commands, sections, write_files
from tests.support.commands import Answer

pytestmark = pytest.mark.slow

# A table of the name that the page has, of a size that a test has time for.
TABLE = """
[run]
dataset = "signs"
model = "signs_resnet8"
limit = 64
masking = 0
rungs = ["gray_box", "white_box"]
[threat]
eps = ["2/255", "8/255"]
[attacks]
fgsm = {}
[defenses]
bicubic_x2 = {}
"""

Run = Callable[..., Answer]
ROW, EXAMPLES = sections("docs/submitting.md")


@pytest.fixture
def typed(run_cli: Run, tmp_path: Path) -> Callable[[str], Answer]:
    """Return what runs a line of the page, beside a published table."""
    (tmp_path / "signs-linf").write_text(TABLE)
    assert run_cli("run", "signs-linf", "-o", "runs/table").code == 0
    assert run_cli("leaderboard", "runs/table", "-o", "leaderboards").code == 0

    def run(line: str) -> Answer:
        program, *words = shlex.split(line)
        if program == "python":
            runpy.run_path(words[0], run_name="__main__")
            return Answer(0, "", "")
        assert program == "superdef-bench"
        return run_cli(*words)

    return run


def test_the_commands_of_the_page_run(typed: Callable[[str], Answer], tmp_path: Path) -> None:
    before = load_results(tmp_path / "leaderboards/signs-linf.json")
    for section in (ROW, EXAMPLES):
        write_files(section, tmp_path)
        assert len(commands(section)) == 2
        for line in commands(section):
            answer = typed(line)
            assert answer.code == 0, f"{line}\n{answer.out}\n{answer.err}"
    table = load_results(tmp_path / "leaderboards/signs-linf.json")
    assert set(table.defenses) - set(before.defenses) == {"soften"}
    # Forty steps at the bare classifier beat the single step of the table.
    bare = score(table.worst("none", "adaptive"))
    assert bare is not None
    assert bare.accuracy > 0
    told = answer.out.split("Upper bounds of signs-linf")[1]
    assert "none, newly broken: signs/test/" in told
    assert "Lowered: none" in told
