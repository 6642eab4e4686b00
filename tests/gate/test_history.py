"""A metric over several results and over the commits of a file."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from superdef_bench.core.errors import ConfigError
from superdef_bench.gate.history import Version, history, to_svg, to_text, versions_of
from superdef_bench.results.schema import Results
from tests.support.commands import Answer
from tests.support.gate_documents import Place, cost_row, document, right, saved

Run = Callable[..., Answer]
CLEAN: Place = ("jpeg", "", "none")
EVIL = "<b>&|$x$\n\x1b[31m" + "y" * 60


def version(label: str, count: int, name: str = "jpeg") -> Version:
    return Version(label, Results.of(document({(name, "", "none"): right(100, count)})))


def test_values_are_those_of_the_rows_oldest_first() -> None:
    found = history([version("a", 50), version("b", 75), version("c", 100)], "clean")
    assert found.series == {"jpeg": [50.0, 75.0, 100.0]}
    line = to_text(found, "utf-8").splitlines()[1]
    assert line.split() == ["jpeg", "50.0", "100.0", "▁▅█"]
    assert to_text(found, "ascii").splitlines()[1].split()[-1] == "_=#"


def test_what_a_version_lacks_is_a_gap() -> None:
    found = history([version("a", 50), version("b", 75, "rcan"), version("c", 60)], "clean")
    assert found.series == {"jpeg": [50.0, None, 60.0], "rcan": [None, 75.0, None]}
    assert "▁ ▄" in to_text(found, "utf-8")
    nothing = history([version("a", 50)], "latency")
    assert nothing.series == {"jpeg": [None]}
    assert to_text(nothing, "utf-8").splitlines()[1].split() == ["jpeg", "-", "-"]


def test_costs_are_of_the_pipeline_for_one_image() -> None:
    made = document({CLEAN: right(8, 8)})
    made["cost"] = [
        cost_row("jpeg", "defense", gmac=9.0),
        cost_row(
            "jpeg",
            "pipeline",
            gmac=0.25,
            latency_ms=dict.fromkeys(("p10", "p50", "p90", "p99"), 1.5),
        ),
        cost_row("jpeg", "pipeline", batch_size=64, gmac=16.0),
    ]
    one = [Version("a", Results.of(made))]
    assert history(one, "gmac").series == {"jpeg": [0.25]}
    assert history(one, "latency").series == {"jpeg": [1.5]}
    assert history(one, "params").series == {"jpeg": [1000.0]}


def test_lines_fit_and_names_are_only_names(tmp_path: Path) -> None:
    versions = [version(f"label {EVIL} {i}", 50 + i % 9, EVIL) for i in range(60)]
    found = history(versions, "clean")
    text = to_text(found, "utf-8")
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    svg = ElementTree.fromstring(to_svg(found))
    assert "<b>&|" in "".join(svg.itertext())


def test_one_point_is_drawn() -> None:
    assert b"<svg" in to_svg(history([version("a", 50)], "clean"))


def test_an_unknown_metric_is_told() -> None:
    with pytest.raises(ConfigError) as error:
        history([version("a", 50)], "adaptiv")
    assert error.value.hint == "did you mean 'adaptive'?"


def git(folder: Path, *words: str) -> None:
    name = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *name, *words], check=True, capture_output=True)


def test_the_commits_of_a_file_are_its_history(run_cli: Run, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    for count in (50, 60, 70):
        saved(tmp_path, "board", document({CLEAN: right(100, count)}))
        git(tmp_path, "add", "board.json")
        git(tmp_path, "commit", "--quiet", "-m", str(count))
    old = tmp_path / "board.json"
    old.write_text(old.read_text().replace('"schema": 2', '"schema": 1'))
    git(tmp_path, "commit", "--quiet", "-am", "older")
    path = saved(tmp_path, "board", document({CLEAN: right(100, 80)}))
    answer = run_cli("history", "board.json", "--metric", "clean", "--commits", 3, "--svg", "h.svg")
    assert answer.code == 0
    assert "results board.json have schema 1" in answer.err
    assert "3 versions, oldest first" in answer.out
    assert answer.out.splitlines()[1].split()[:3] == ["jpeg", "60.0", "80.0"]
    assert (tmp_path / "h.svg").read_bytes().startswith(b"<?xml")
    assert [v.results.accuracy[0].correct for v in versions_of([path], 9)] == [50, 60, 70, 80]


def test_a_file_without_a_repository_is_told(run_cli: Run, tmp_path: Path) -> None:
    saved(tmp_path, "board", document({CLEAN: right(100, 80)}))
    answer = run_cli("history", "board.json", "--commits", 3)
    assert (answer.code, answer.out) == (2, "")
    assert "git knows no history of board.json" in answer.err
