"""A metric over several results and over the commits of a file."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from superdef_bench.core.errors import ConfigError
from superdef_bench.gate.history import History, Version, history, to_svg, to_text, versions_of
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
    head, line = to_text(found, "utf-8").splitlines()[1:3]
    assert head.split() == ["defense", "first", "last", "versions"]
    assert head.index("last") + len("last") == line.index("100.0") + len("100.0")
    assert line.split() == ["jpeg", "50.0", "100.0", "▁▅█"]
    assert to_text(found, "ascii").splitlines()[2].split()[-1] == "_=#"


def test_what_a_version_lacks_is_a_gap() -> None:
    found = history([version("a", 50), version("b", 75, "rcan"), version("c", 60)], "clean")
    assert found.series == {"jpeg": [50.0, None, 60.0], "rcan": [None, 75.0, None]}
    assert "▁ ▄" in to_text(found, "utf-8")
    nothing = history([version("a", 50)], "latency")
    assert nothing.series == {"jpeg": [None]}
    assert to_text(nothing, "utf-8").splitlines()[2].split() == ["jpeg", "-", "-"]


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


def of_seed(label: str, count: int, seed: int) -> Version:
    return Version(label, Results.of(document({CLEAN: right(100, count)}, seed=seed)))


def test_another_benchmark_is_marked_and_no_line_leads_to_it() -> None:
    same = [of_seed("a", 50, 0), of_seed("b", 60, 0)]
    found = history([*same, of_seed("c", 75, 1), of_seed("d", 70, 1)], "clean")
    assert found.breaks == {2: "seed was 0, is 1"}
    lines = to_text(found, "utf-8").splitlines()
    assert lines[2].split() == ["jpeg", "50.0*", "70.0", "▁▄|█▇"]
    assert lines[-2:] == [
        "| and *: numbers before it do not compare",
        "|3. seed was 0, is 1",
    ]
    assert "*" not in to_text(history(same, "clean"), "utf-8")
    lines_drawn = (
        to_svg(found).count(b'<g id="line2d_'),
        to_svg(History(found.metric, found.labels, found.series)).count(b'<g id="line2d_'),
    )
    assert lines_drawn[0] > lines_drawn[1]


def test_a_row_that_was_away_is_compared_with_the_last_version_that_has_it() -> None:
    away = version("b", 75, "rcan")
    other = Version("c", Results.of(document({CLEAN: right(60, 30)})))  # on fewer images
    found = history([version("a", 50), away, other], "clean")
    assert list(found.breaks) == [2]
    assert "jpeg" in found.breaks[2]
    assert not history([version("a", 50), away, version("c", 60)], "clean").breaks


def test_times_of_another_machine_are_marked_as_well() -> None:
    made = document({CLEAN: right(8, 8)})
    times = dict.fromkeys(("p10", "p50", "p90", "p99"), 1.5)
    made["cost"] = [cost_row("jpeg", "pipeline", latency_ms=times)]
    other = json.loads(json.dumps(made))
    other["provenance"]["machine"]["processor"] = "Another"
    both = [Version("a", Results.of(made)), Version("b", Results.of(other))]
    assert history(both, "latency").breaks == {1: "measured with another machine"}
    assert not history(both, "gmac").breaks
    # A row that another run added was timed there.
    made["defenses"]["jpeg"] = made["defenses"]["jpeg"] | {"provenance": other["provenance"]}
    assert history([Version("c", Results.of(made))], "latency").series == {"jpeg": [None]}


def test_breaks_fit_beside_the_bars_that_they_divide() -> None:
    text = to_text(history([of_seed(str(n), 50 + n, n) for n in range(40)], "clean"), "utf-8")
    assert max(map(len, text.splitlines())) <= 80
    assert "the last 12 versions" in text


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
    assert answer.out.splitlines()[2].split()[:3] == ["jpeg", "60.0", "80.0"]
    assert (tmp_path / "h.svg").read_bytes().startswith(b"<?xml")
    assert [v.results.accuracy[0].correct for v in versions_of([path], 9)] == [50, 60, 70, 80]


def test_a_file_without_a_repository_is_told(run_cli: Run, tmp_path: Path) -> None:
    saved(tmp_path, "board", document({CLEAN: right(100, 80)}))
    answer = run_cli("history", "board.json", "--commits", 3)
    assert (answer.code, answer.out) == (2, "")
    assert "git knows no history of board.json" in answer.err
