"""Leaderboards as golden files, stale ones, and names that want to be more than names."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from superdef_bench.cli.tables import print_ranking
from superdef_bench.leaderboard.notes import doubts, row_name
from superdef_bench.leaderboard.plots import stamp
from superdef_bench.leaderboard.publish import files, publish, stale
from superdef_bench.results.load import load_results
from superdef_bench.results.schema import Results
from superdef_bench.results.text import eps_text, escape
from tests.support.commands import Answer
from tests.support.documents import write

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("suffix", [".md", ".csv"])
def test_the_golden_results_give_the_golden_leaderboard(suffix: str) -> None:
    written = files(load_results(GOLDEN / "example.json"))[suffix].decode()
    file = GOLDEN / f"example{suffix}"
    assert written == file.read_text(), f"if that is meant, write it to {file}"


def test_gray_box_cells_of_another_classifier_are_marked_as_transfer() -> None:
    document = json.loads((GOLDEN / "example.json").read_text())
    before = files(Results.of(document))[".md"].decode()
    assert "†" not in before
    document["defenses"]["jpeg"]["replaces"] = True
    table = files(Results.of(document))[".md"].decode()
    assert "- †: jpeg stands in the classifier's place" in table
    marked = [line for line in table.splitlines() if "†" in line and line.startswith("|")]
    assert {line.split("|")[2 if line[2] in "123456789–" else 1].strip() for line in marked} == {
        "jpeg"
    }
    ranking, by_eps, conditional, by_attack = marked
    assert ranking.split("|")[4].strip().endswith("†")
    assert ranking.count("†") == 1
    assert by_eps.count("†") == conditional.count("†") == by_eps.count("≤")
    assert by_attack.count("†") == by_attack.count("(")


def test_the_picture_shows_every_row_and_is_reproducible() -> None:
    results = load_results(GOLDEN / "example.json")
    first, second = files(results)[".svg"], files(results)[".svg"]
    assert first == second
    assert len(stamp(first)) == 64
    for name in ("none", "jpeg", "clean", "gray box", "adaptive"):
        assert name in first.decode()


def judged(**verdicts: str) -> dict[str, Any]:
    """Return the golden document, its first rows judged."""
    document: dict[str, Any] = json.loads((GOLDEN / "example.json").read_text())
    for name, verdict in verdicts.items():
        check = {"check": "a check", "outcome": verdict, "n": 64, "p": 0.0, "adjusted": 0.0}
        checks = [{**check, "evidence": "a number"}] if verdict else []
        document["defenses"][name]["masking"] = {"verdict": verdict, "checks": checks}
    return document


def names(table: str) -> set[str]:
    return {line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()}


def test_a_row_is_marked_by_its_verdict_and_by_an_old_suspicion_without_one() -> None:
    document = judged(none="pass", jpeg="fail")
    document["defenses"]["jpeg"]["suspicion"] = "a rounding"
    document["defenses"]["bicubic_x2 (native)"]["suspicion"] = "a detach"
    page = files(Results.of(document))[".md"].decode()
    assert names(page) >= {"none", "jpeg **(fail)**", "bicubic_x2 (native) **(suspect)**"}
    assert "- Exact gradients alone do not rank jpeg: a rounding." in page
    assert "- bicubic_x2 (native) is suspect: a detach." in page
    suspect = files(Results.of(judged(jpeg="suspect")))[".md"].decode()
    assert "jpeg **(suspect)**" in names(suspect)


def test_the_command_line_marks_the_rows_that_the_page_marks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    document = judged(none="pass", jpeg="fail")
    for name in ("none", "bicubic_x2 (native)"):
        document["defenses"][name]["suspicion"] = "a detach"
    results = Results.of(document)
    marks = {name: doubts(results, name) for name in document["defenses"]}
    wanted = {"none": "", "jpeg": "fail", "bicubic_x2 (native)": "suspect"}
    assert marks == {**wanted, "random_resize_pad (native)": ""}
    print_ranking(results)
    lines = [
        line.split("│")[2].strip() for line in capsys.readouterr().out.splitlines() if "│" in line
    ]
    assert sorted(lines) == sorted(f"{n} ({m})" if m else n for n, m in marks.items())
    assert {row_name(results, n) for n in marks} == {
        f"{escape(n)} **({m})**" if m else escape(n) for n, m in marks.items()
    }


def test_the_ranking_has_a_masking_column_once_a_row_is_judged() -> None:
    def column(document: dict[str, Any]) -> dict[str, str]:
        page = files(Results.of(document))[".md"].decode()
        lines = page.split("## Ranking")[1].split("\n\n")[1].splitlines()
        head, _, *rows = ([cell.strip() for cell in line.split("|")] for line in lines)
        if "masking" not in head:
            return {}
        assert head[-3:] == ["masking", "n", ""]
        return {row[2].split(" ")[0]: row[-3] for row in rows}

    assert column(judged()) == {}
    assert column(judged(none="")) == {}
    expected = {"none": "pass", "jpeg": "suspect", "bicubic_x2": "–", "random_resize_pad": "–"}
    assert column(judged(none="pass", jpeg="suspect")) == expected


def test_columns_of_the_csv_that_old_results_lack_are_left_out() -> None:
    document = judged()
    before = files(Results.of(document))[".csv"].decode().splitlines()[0]
    assert "top5_accuracy" not in before
    document["accuracy"][1].update(top5_accuracy=0.75, eot=3)
    head, first, second, *_ = files(Results.of(document))[".csv"].decode().splitlines()
    assert head == before + ",top5_accuracy,eot"
    assert first.endswith(",,")
    assert second.endswith(",0.75,3")


def test_a_stale_leaderboard_is_told_by_exit_code_1(
    run_cli: Callable[..., Answer], tmp_path: Path
) -> None:
    out = tmp_path / "boards"
    written = run_cli("leaderboard", GOLDEN / "example.json", "-o", out)
    assert written.out.splitlines() == [
        *(str(out / f"example{s}") for s in (".json", ".md", ".csv", ".svg", "-pareto.svg")),
        str(out / "README.md"),
    ]
    assert run_cli("leaderboard", out / "example.json", "--check").code == 0
    for suffix in ("md", "csv", "svg"):
        file = out / f"example.{suffix}"
        content = file.read_bytes()
        file.write_bytes(content.replace(b"9", b"8"))
        answer = run_cli("leaderboard", out / "example.json", "--check")
        assert (answer.code, answer.out) == (1, "")
        assert answer.err.startswith(f"stale: {file}\nhint: ")
        file.unlink()
        assert run_cli("leaderboard", out / "example.json", "--check").code == 1
        file.write_bytes(content)


def test_an_edited_number_makes_the_leaderboard_stale(tmp_path: Path) -> None:
    publish(load_results(GOLDEN / "example.json"), tmp_path)
    document = json.loads((tmp_path / "example.json").read_text())
    document["seed"] = 7
    assert stale(Results.of(document), tmp_path) == ["example.md"]


def damage(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["accuracy"][0].update(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(schema=99), "have schema 99, this version reads 2"),
        (lambda d: d.update(schema=1), "have schema 1, this version reads 2"),
        (lambda d: d.pop("schema"), "has no schema"),
        (lambda d: d.pop("accuracy"), "are damaged"),
        (damage(correct=1), "bits are set, correct says 1"),
        (damage(verdicts="AAAAAAAA"), "6 bytes of verdicts"),
        (lambda d: d["accuracy"][0].pop("n"), "a row has no 'n'"),
    ],
)
def test_damaged_results_are_refused_with_2(
    run_cli: Callable[..., Answer],
    tmp_path: Path,
    change: Callable[[dict[str, Any]], None],
    message: str,
) -> None:
    document = json.loads((GOLDEN / "example.json").read_text())
    change(document)
    write(tmp_path / "bad.json", document)
    answer = run_cli("leaderboard", "bad.json")
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err


@pytest.mark.parametrize("text", ['{"schema": 1', "<html>", "[]", ""])
def test_what_is_no_results_file_is_refused(
    run_cli: Callable[..., Answer], tmp_path: Path, text: str
) -> None:
    (tmp_path / "bad.json").write_text(text)
    answer = run_cli("leaderboard", "bad.json")
    assert answer.code == 2
    assert answer.err.startswith("error: ")


def test_names_stay_names() -> None:
    assert escape("a|b") == r"a\|b"
    assert escape("[x](http://y)") == r"\[x\](http://y)"
    assert escape("<script>&") == "&lt;script&gt;&amp;"
    assert escape("`rm` *bold*\n# title") == r"\`rm\` \*bold\* # title"
    assert escape("mi_fgsm and _under_") == r"mi_fgsm and \_under\_"


def test_radii_are_written_as_the_field_does() -> None:
    radii = (8 / 255, 0.0183, 0.0, 0.1, 0.5, 3.0, None)
    shown = ["8/255", "4.7/255", "0/255", "0.1", "0.5", "3", "no ball"]
    assert [eps_text(value) for value in radii] == shown
