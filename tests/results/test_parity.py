"""Parity in numbers: who breaks what, what is allowed, all cases together."""

from pathlib import Path

import numpy as np
import pytest

from superdef_bench.core.errors import DataError
from superdef_bench.leaderboard.parity import cases_of, parity_page
from superdef_bench.results.parity import (
    compare,
    difference,
    load_parity,
    save_parity,
    together,
)
from tests.support.parity_cases import case, run_of

N = 256


@pytest.mark.parametrize(
    ("n", "only_reference", "noise", "holds"),
    [
        (256, 1, None, True),
        (256, 2, None, False),
        (1000, 3, None, True),
        (1000, 4, None, False),
        (256, 3, 3, True),
        (256, 4, 3, False),
    ],
)
def test_the_reference_alone_may_break_one_or_a_few_or_its_own_noise(
    n: int, only_reference: int, noise: int | None, holds: bool
) -> None:
    both = range(100, 140)
    theirs = [*range(only_reference), *both]
    runs = [run_of("reference", theirs, n), run_of("own", [*both, 90], n)]
    if noise is not None:
        runs.insert(1, run_of("reference", [*theirs, *range(200, 200 + noise)], n, seed=1))
    found = difference(case(runs, n))
    assert list(found.only_reference) == list(range(only_reference))
    assert list(found.only_own) == [90]
    assert found.noise == noise
    assert found.holds is holds


def test_all_cases_together_are_tested_for_ours_being_weaker() -> None:
    fair = case([run_of("reference", [1, 5], 1000), run_of("own", [2, 5], 1000)], 1000)
    weak = case([run_of("reference", [*range(7)], 1000), run_of("own", [], 1000)], 1000)
    found = together([fair, fair])
    assert (found.n, found.only_reference, found.only_own) == (2000, 2, 2)
    assert found.p == pytest.approx(11 / 16)  # two of four or more
    assert found.holds
    # Few enough of a thousand thousand, but all on one side: 1 in 2 to the 8th.
    spread = [weak, *[fair] * 5]
    assert together(spread).only_reference == 12
    assert together([weak]).p == pytest.approx(2.0**-7)
    assert not together([weak]).holds


def test_a_part_alone_is_compared_by_itself() -> None:
    runs = [
        run_of("reference", [1], N),
        run_of("reference", [1, 2], 64, alone="square"),
        run_of("own", [1], N),
        run_of("own", [2, 3], 64, alone="square"),
    ]
    # One that was broken off, and a part that only one engine ran, are compared with nothing.
    runs += [run_of("own", [5], 32, alone="square"), run_of("reference", [5], 64, alone="fab_t")]
    ((reference, own),) = case(runs, N).alone()
    found = compare(reference, own)
    assert (list(found.only_reference), list(found.only_own), found.n) == ([1], [3], 64)


def test_the_noise_is_that_of_another_seed_and_nothing_else() -> None:
    runs = [run_of("reference", [1], N), run_of("own", [1], N)]
    older = run_of("reference", [1, *range(50, 54)], N).model_copy(
        update={"versions": {"python": "3.11", "torch": "1"}}
    )
    smaller = older.model_copy(update={"seed": 1})
    assert difference(case([*runs, older, smaller], N)).noise is None
    again = run_of("reference", [1, 2], N, seed=1)
    assert difference(case([*runs, older, again], N)).noise == 1


def test_a_case_is_kept_and_a_changed_one_refused(tmp_path: Path) -> None:
    whole = case([run_of("reference", [1], N), run_of("own", [1], N)], N)
    file = tmp_path / "case.json"
    save_parity(whole, file)
    assert load_parity(file).runs == whole.runs
    file.write_text(file.read_text().replace('"n": 256', '"n": 255', 1))
    with pytest.raises(DataError, match="damaged"):
        load_parity(file)
    file.write_text("{}")
    with pytest.raises(DataError, match="no case of verify autoattack"):
        load_parity(file)
    with pytest.raises(DataError, match="holds no case"):
        cases_of(tmp_path / "nowhere")


def test_a_case_without_our_engine_has_no_parity() -> None:
    with pytest.raises(DataError, match="the two engines did not both run"):
        difference(case([run_of("reference", [1], N)], N))


def test_the_page_says_what_the_numbers_say() -> None:
    fair = case([run_of("reference", [1, 2, 3], 1000), run_of("own", [1, 2, 9], 1000)], 1000)
    page = parity_page([fair])
    assert "**Parity holds**: in 1 of 1 cases" in page
    assert "| 99.7 | 99.7 | 1 | 1 | 3 | – | holds |" in page
    weak = case([run_of("reference", range(9), N), run_of("own", [], N)], N)
    page = parity_page([fair, weak])
    assert "**Parity does not hold**: in 1 of 2 cases" in page
    assert "| 96.5 | 100.0 | 9 | 0 | 1 | – | fails |" in page


def test_what_parts_add_are_images_right_without_attack() -> None:
    clean = np.zeros(N, dtype=bool)
    clean[:2] = True
    steps = {"apgd_ce": [0, 1, 5], "square": [0, 1, 5, 6, 7]}
    runs = [run_of(engine, steps, N) for engine in ("reference", "own")]
    assert "| 1 / 1 | 2 / 2 |" in parity_page([case(runs, N, clean)])


def test_the_command_of_a_class_in_a_file_names_that_file() -> None:
    runs = [run_of("reference", [1], N), run_of("own", [1], N)]
    typed = {"model_plugin": "python:nets/net.py:Net", "dataset_plugin": "cifar10"}
    page = parity_page([case(runs, N).model_copy(update=typed)])
    assert "parity --dataset cifar10 --model python:nets/net.py:Net --norm" in page
    assert "verify autoattack parity --norm" in parity_page([case(runs, N)])  # the config says all


def test_only_runs_that_are_alike_are_held_against_each_other() -> None:
    small = run_of("reference", [1, 2, 3], N).model_copy(update={"batch_size": 128})
    other = run_of("reference", [1, 9], N, seed=1)
    found = difference(case([small, other, run_of("reference", [1], N), run_of("own", [1], N)], N))
    assert list(found.only_reference) == []
    assert found.noise == 1
    with pytest.raises(DataError, match="did not both run"):
        difference(case([small, run_of("own", [1], N)], N))
