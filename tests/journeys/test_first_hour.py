"""The first hour of a newcomer, as the page tells it: every block of it, in real processes."""

import re
from pathlib import Path

import pytest

from superdef_bench.results.load import load_results
from tests.journeys.page import Section, answers, commands, run_command, sections, write_files

pytestmark = pytest.mark.ci

_PAGE = sections("docs/first-hour.md")
_SETUP, *_JOBS, _WRONG = _PAGE


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the newcomer's folder: the files of the page, pictures, and a trained network."""
    folder = tmp_path_factory.mktemp("newcomer")
    for section in _PAGE:
        write_files(section, folder)
    for command in commands(_SETUP):
        done = run_command(command, folder)
        assert done.returncode == 0, done.stderr
    assert (folder / "net.pt").exists()
    return folder


def cells(run: Path) -> dict[tuple[str, str, str], str]:
    """Return the verdicts of the cells at 8/255, clean ones included."""
    return {
        (row.defense, row.rung, row.attack): row.verdicts
        for row in load_results(run).accuracy
        if row.attack in ("none", "pgd") and row.rung != "masking" and row.eps in (None, 8 / 255)
    }


@pytest.mark.parametrize("section", _JOBS, ids=lambda section: section.title)
def test_the_commands_of_a_section_run(section: Section, workplace: Path) -> None:
    assert commands(section)
    for command in commands(section):
        done = run_command(command, workplace)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr


def test_one_network_has_one_table_whichever_way_it_comes(workplace: Path) -> None:
    mine, *others = (cells(workplace / "runs" / name) for name in ("mine", "checkpoint", "script"))
    for other in others:
        assert len(other) >= 5
        assert other == {key: bits for key, bits in mine.items() if key in other}


def test_the_table_gained_a_row_and_runs_of_its_classifier_are_as_good_as_before(
    workplace: Path,
) -> None:
    table = load_results(workplace / "published/mine.json")
    assert set(table.defenses) == {"none", "jpeg", "bicubic_x2 (resize_back)", "smooth"}
    assert {row.n for row in table.accuracy if row.defense == "smooth" and not row.attack} <= {64}
    done = run_command("superdef-bench leaderboard published/*.json --check", workplace)
    assert done.returncode == 0, done.stderr


def test_the_gate_is_red_once_the_defense_is_worse(workplace: Path) -> None:
    plugin = workplace / "my_plugins/smooth.py"
    good = plugin.read_text()
    words = "superdef-bench run mine.toml -d smooth --limit 128 --plugins-dir my_plugins -o runs/"
    assert run_command(f"{words}good", workplace).returncode == 0
    plugin.write_text(good.replace("smooth.clamp(0, 1)", "smooth.clamp(0, 1) * 0"))
    try:
        assert run_command(f"{words}worse", workplace).returncode == 0
    finally:
        plugin.write_text(good)
    command = "superdef-bench compare runs/good runs/worse --fail-on latency:off"
    done = run_command(command, workplace)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAIL" in done.stdout


@pytest.mark.parametrize(("command", "told"), answers(_WRONG), ids=lambda text: text[:60])
def test_a_mistake_is_answered_as_the_page_says(command: str, told: str, workplace: Path) -> None:
    done = run_command(command, workplace)
    assert done.returncode == 2, done.stdout
    # What there is grows with each plugin.
    shown, said = (re.sub(r"\d+ available", "", text).strip() for text in (told, done.stderr))
    assert said == shown


def test_the_page_makes_ten_mistakes() -> None:
    assert sum(told.count("error: ") for _, told in answers(_WRONG)) == 10
