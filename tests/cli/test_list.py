"""`superdef-bench list`: one line for each plugin, whatever its summary says."""

from collections.abc import Callable
from pathlib import Path

from superdef_bench.core.loader import load_plugins
from tests.support.commands import Answer

OWN = '''
from superdef_bench import InputTransform, hookimpl

class Own(InputTransform):
    """A defense that tells a long story about itself, longer than a line of any terminal is."""
    def transform(self, x):
        return x

def library(name):
    """Any defense of a library."""
    return Own

@hookimpl
def register_defenses():
    return {"own": Own, "library:": library}
'''


def rows(answer: Answer) -> dict[str, list[str]]:
    """Return the cells behind each name of a list."""
    assert answer.code == 0, answer.err
    lines = [line.split("│")[1:-1] for line in answer.out.splitlines() if line.startswith("│")]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines}


def test_each_plugin_is_one_line_of_80_columns(run_cli: Callable[..., Answer]) -> None:
    answer = run_cli("list")
    names = [plugin.name for plugin in load_plugins()]
    assert max(map(len, answer.out.splitlines())) == 80
    assert sum(line.startswith("│") for line in answer.out.splitlines()) == len(names)
    assert set(rows(answer)) == set(names)


def test_what_is_not_built_in_says_where_it_is_from(
    run_cli: Callable[..., Answer], plugin_folder: Callable[..., Path]
) -> None:
    found = rows(run_cli("list", "defense", "--plugins-dir", plugin_folder(OWN)))
    assert found["own"][0].startswith("A defense that tells a ")
    assert found["own"][0].endswith("…")
    assert found["own"][1] == found["library:"][1] == "plugins_mine"
    assert found["jpeg"][1] == ""


def test_verbose_shows_the_whole_summary_and_the_file(
    run_cli: Callable[..., Answer], plugin_folder: Callable[..., Path]
) -> None:
    folder = plugin_folder(OWN)
    answer = run_cli("list", "defense", "-v", "--plugins-dir", folder)
    words = "".join(
        line.split("│")[3].strip() + " " for line in answer.out.splitlines() if "│" in line
    )
    assert "story about itself, longer than a line of any terminal is." in words
    places = "".join(line.split("│")[2].strip() for line in answer.out.splitlines() if "│" in line)
    assert str(folder / "mine.py") in places
    assert "plugins/defenses/jpeg.py" in places


def test_a_folder_without_a_plugin_is_said_and_no_error(
    run_cli: Callable[..., Answer], tmp_path: Path
) -> None:
    empty, beside = tmp_path / "empty", tmp_path / "beside"
    empty.mkdir()
    beside.mkdir()
    (beside / "_helper.py").write_text("raise SystemExit")
    for folder in (empty, beside):
        answer = run_cli("list", "recipe", "--plugins-dir", folder)
        assert answer.code == 0
        assert answer.err == (
            f"note: plugins folder {folder} has no plugin: a .py file whose name starts with no _\n"
        )
