"""Plugins of installed packages are code of others: a flag or a variable leaves them out."""

import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.commands import Answer

Run = Callable[..., Answer]
_HELPS = Path(__file__).parents[1] / "golden"


class Entry:
    """An entry point that says when it is loaded."""

    dist, value = None, "theirs"

    def __init__(self) -> None:
        self.loads = 0

    def load(self) -> object:
        self.loads += 1
        raise ImportError("no such module")


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch) -> Entry:
    made = Entry()
    monkeypatch.setattr(
        importlib.metadata,
        "entry_points",
        lambda group="", **_: [made] * (group == "superdef_bench"),
    )
    return made


@pytest.mark.filterwarnings("ignore:plugins of theirs")
def test_they_are_loaded_unless_they_are_shut_out(
    run_cli: Run, entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "theirs" in json.loads(run_cli("list", "--json").out)["broken"]
    assert entry.loads == 1
    assert json.loads(run_cli("list", "--json", "--no-third-party").out)["broken"] == {}
    for value, loads in (("1", 1), ("true", 1), ("0", 2), ("", 3)):
        monkeypatch.setenv("SUPERDEF_BENCH_NO_THIRD_PARTY", value)
        assert run_cli("list", "--json").code == 0
        assert entry.loads == loads


def test_they_are_shut_out_of_help_and_of_new_plugins(
    run_cli: Run, entry: Entry, tmp_path: Path
) -> None:
    assert run_cli("apply", "jpeg", "--no-third-party", "--help").code == 0
    assert run_cli("new", "defense", "mine", "--no-third-party").code == 0
    assert entry.loads == 0


def test_every_command_that_loads_plugins_has_the_flag() -> None:
    helps = {file.name: file.read_text() for file in _HELPS.glob("help_*.txt")}
    loads = {name for name, text in helps.items() if "--plugins-dir" in text}
    assert len(loads) >= 10
    assert {name for name, text in helps.items() if "--no-third-party" in text} == {
        *loads,
        "help_new.txt",
    }
