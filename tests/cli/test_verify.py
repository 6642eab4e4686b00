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


def test_it_exits_with_1_where_the_reference_breaks_more(run_cli: Run, tmp_path: Path) -> None:
    words = ("verify", "autoattack", *QUICK, "-o", tmp_path)
    run_cli(*words)
    case = load_parity(only_file(tmp_path))
    # As if ours had left three images standing that the reference breaks.
    bits = np.ones(6, dtype=bool)
    bits[3:] = False
    reference, own = case.runs
    part = own.parts[-1].model_copy(update={"broken": pack_bits(bits)})
    weak = own.model_copy(update={"parts": (*own.parts[:-1], part)})
    save_parity(case.model_copy(update={"runs": (reference, weak)}), only_file(tmp_path))
    page = tmp_path / "page.md"
    assert run_cli(*words[:2], "-o", tmp_path, "--page", page, "--only-page").code == 0
    assert "**Parity does not hold**" in page.read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--norm", "l2"), "norm is l2, and the radii of the config are for linf"),
        (("--only-page",), "--only-page without --page writes nothing"),
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
