"""`verify autoattack` in the terminal: both engines on the same images."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from superdef_bench.results.parity import load_parity, save_parity
from superdef_bench.results.statistics import pack_bits
from tests.support.commands import Answer

Run = Callable[..., Answer]
QUICK = ("--limit", "6", "--eps", "64/255")  # a ball in which nothing stands


def only_file(folder: Path) -> Path:
    (file,) = folder.glob("*.json")
    return file


def test_it_compares_keeps_and_draws_up_a_page(run_cli: Run, tmp_path: Path) -> None:
    out, page = tmp_path / "cases", tmp_path / "parity.md"
    answer = run_cli("verify", "autoattack", *QUICK, "-o", out, "--page", page)
    assert answer.code == 0, answer.err
    assert "Only the reference breaks none; only ours none." in answer.out
    assert "Parity holds: the reference alone may break 1, it breaks 0." in answer.out
    told = [line for line in answer.out.splitlines() if str(tmp_path) not in line]
    assert max(map(len, told)) <= 80
    assert "**Parity holds**: in 1 of 1 cases" in page.read_text()
    first = load_parity(only_file(out))
    assert [run.engine for run in first.runs] == ["reference", "own"]
    assert [part.name for part in first.runs[1].parts] == ["apgd_ce", "apgd_t", "fab_t", "square"]
    again = run_cli("verify", "autoattack", *QUICK, "-o", out, "--alone", "4", "--json")
    assert json.loads(again.out)["difference"]["holds"] is True
    second = load_parity(only_file(out))
    # The reference is taken from the file, to the second; ours runs again.
    assert second.runs[0] == first.runs[0]
    assert {run.parts[0].name for run in second.runs if run.alone} == {
        *("apgd_ce", "apgd_t", "fab_t", "square")
    }
    rendered = run_cli("verify", "autoattack", "-o", out, "--page", page, "--only-page")
    assert rendered.code == 0
    assert "## Each part alone" in page.read_text()


@pytest.mark.ci
def test_it_exits_with_1_where_the_reference_breaks_more(run_cli: Run, tmp_path: Path) -> None:
    words = ("verify", "autoattack", "--limit", "3", "--eps", "0.01/255", "-o", tmp_path)
    assert run_cli(*words).code == 0  # neither breaks any in so small a ball
    case = load_parity(only_file(tmp_path))
    reference, own = case.both()
    assert not reference.broken().any()
    # As if the reference had broken all: what it broke is not run again, ours is.
    part = reference.parts[-1].model_copy(update={"broken": pack_bits(np.ones(3, dtype=bool))})
    strong = reference.model_copy(update={"parts": (*reference.parts[:-1], part)})
    save_parity(case.model_copy(update={"runs": (strong, own)}), only_file(tmp_path))
    answer = run_cli(*words, "--page", tmp_path / "page.md")
    assert answer.code == 1
    assert "Only the reference breaks 3 (image 0, 1, 2)" in answer.out
    assert "Parity FAILS: the reference alone may break 1, it breaks 3." in answer.out
    assert "**Parity does not hold**" in (tmp_path / "page.md").read_text()


def test_json_is_all_that_stands_on_standard_output(run_cli: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    answer = run_cli("verify", "autoattack", *QUICK, "-o", tmp_path, "--json", "--page", page)
    assert json.loads(answer.out)["difference"]["holds"] is True
    assert page.exists()


def test_a_damaged_case_says_what_to_do(run_cli: Run, tmp_path: Path) -> None:
    run_cli("verify", "autoattack", *QUICK, "-o", tmp_path)
    file = only_file(tmp_path)
    file.write_text(file.read_text().replace('"n": 6', '"n": 7', 1))
    answer = run_cli("verify", "autoattack", *QUICK, "-o", tmp_path)
    assert answer.code == 2
    assert "hint: delete the file; superdef-bench verify autoattack then writes it" in answer.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--norm", "l2"), "norm is l2, and the radii of the config are for linf"),
        (("--only-page",), "--only-page without --page writes nothing"),
        (("--only-page", "--page", "p.md", "--json"), "--only-page runs nothing that --json could"),
        (("-d", "nothing"), "nothing"),
        (("--model", "signs_resnet8", "--eps", "0"), "eps '0' is not above 0"),
    ],
)
def test_what_cannot_be_run_is_one_line(
    run_cli: Run, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    answer = run_cli("verify", "autoattack", *words, "--limit", "4", "-o", tmp_path)
    assert answer.code == 2
    assert told in answer.err
