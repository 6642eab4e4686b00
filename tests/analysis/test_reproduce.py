"""Rows of a results file run again: they hold, and an edited file is caught."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superdef_bench import evaluate
from superdef_bench.analysis.reproduce import choose_rows
from superdef_bench.core.errors import ConfigError
from superdef_bench.results.load import load_results
from superdef_bench.results.schema import AccuracyRow, Results
from superdef_bench.results.statistics import pack_bits, pack_counts, unpack_bits, wilson
from tests.support.commands import Answer
from tests.support.documents import GOLDEN, example, write

Run = Callable[..., Answer]
Write = Callable[..., Path]

SMALL = """
[run]
dataset = "signs"
model = "signs_resnet8"
limit = 8
batch_size = 8
masking = 0
rungs = ["gray_box", "bpda"]

[attacks]
fgsm = { rungs = ["gray_box"] }
pgd = { steps = 2 }
few = { plugin = "fgsm", limit = 3, rungs = ["gray_box"] }

[defenses]
jpeg = {}
random_resize_pad = {}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the results of a tiny run that leaves some of its config out."""
    folder = tmp_path_factory.mktemp("published")
    (folder / "tiny.toml").write_text(SMALL)
    config, out = folder / "tiny.toml", folder / "run"
    evaluate(config, defenses=["jpeg"], attacks=["pgd", "few"], limit=6, out=out)
    return out / "results.json"


@pytest.fixture
def published(finished: Path, tmp_path: Path) -> Path:
    """Return a copy of them that a test may change."""
    return Path(shutil.copy(finished, tmp_path / "results.json"))


def edited(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Write the file with one thing changed beside it, and load it: nothing in it is damaged."""
    document = json.loads(path.read_text())
    change(document)
    other = path.with_name("edited.json")
    write(other, document)
    load_results(other)
    return other


def number_of(path: Path, *where: object) -> int:
    """Return the number of a defense's row under a rung and attack, at the last eps."""
    columns = ("defense", "rung", "attack")
    rows = load_results(path).accuracy
    return max(
        n for n, row in enumerate(rows, 1) if tuple(getattr(row, c) for c in columns) == where
    )


def flip(row: dict[str, Any], count: int) -> None:
    """Turn verdicts of a row, and let everything that is counted from them agree."""
    bits = unpack_bits(row["verdicts"], row["n"])
    places = np.flatnonzero(bits)[:count] if bits.sum() >= count else np.flatnonzero(~bits)[:count]
    assert len(places) == count
    bits[places] = ~bits[places]
    low, high = wilson(int(bits.sum()), row["n"])
    row |= {"verdicts": pack_bits(bits), "correct": int(bits.sum())}
    row |= {"accuracy": round(float(bits.mean()), 6), "ci_low": low, "ci_high": high}


def test_an_untouched_file_holds_in_every_row(run_cli: Run, published: Path) -> None:
    answer = run_cli("reproduce", published, "--sample", 99, "--seed", 7, "--json")
    assert answer.code == 0
    told = json.loads(answer.out)
    rows = load_results(published).accuracy
    ran = [n for n, row in enumerate(rows, 1) if not row.worst]
    assert [each["number"] for each in told["rows"]] == ran
    assert all(each["agreeing"] == each["n"] for each in told["rows"])
    assert told["seed"] == 7
    # What ran is what was stored: an attack's own limit stays its own.
    assert {each["n"] for each in told["rows"]} == {3, 6}


def test_an_edited_row_is_caught_by_running_it(run_cli: Run, published: Path) -> None:
    number = number_of(published, "jpeg", "gray_box", "few")
    other = edited(published, lambda d: flip(d["accuracy"][number - 1], 2))
    answer = run_cli("reproduce", other, "--row", number)
    assert answer.code == 1
    assert "differs" in answer.out
    why = f"row {number}, jpeg gray_box few: 2 of 3 verdicts differ, 1 may"
    assert why in " ".join(answer.out.split())
    assert max(map(len, answer.out.splitlines())) <= 80
    assert run_cli("reproduce", published, "--row", number).code == 0


def test_a_row_that_was_cut_short_is_caught(run_cli: Run, published: Path) -> None:
    number = number_of(published, "jpeg", "gray_box", "few")

    def cut(document: dict[str, Any]) -> None:
        row = document["accuracy"][number - 1]
        bits = unpack_bits(row["verdicts"], row["n"])[:2]
        row |= {"n": 2, "verdicts": pack_bits(bits), "correct": int(bits.sum())}

    answer = run_cli("reproduce", edited(published, cut), "--row", number)
    assert answer.code == 1
    assert "n is 2, the stored config gives 3" in " ".join(answer.out.split())


def test_one_verdict_may_differ(run_cli: Run, published: Path) -> None:
    number = number_of(published, "jpeg", "gray_box", "few")

    def change(document: dict[str, Any]) -> None:
        flip(document["accuracy"][number - 1], 1)
        bare = document["accuracy"][0]
        base = unpack_bits(bare["verdicts"], bare["n"])[:3]
        row = document["accuracy"][number - 1]
        right = unpack_bits(row["verdicts"], 3)
        row["conditional_accuracy"] = round(float(right[base].mean()), 6)

    other = edited(published, change)
    assert run_cli("reproduce", other, "--row", number).code == 0


@pytest.mark.parametrize("where", [("jpeg", "adaptive", "worst"), ("jpeg", "bpda", "pgd")])
def test_an_edit_that_another_row_contradicts_is_caught_whatever_is_drawn(
    run_cli: Run, published: Path, where: tuple[str, ...]
) -> None:
    number = number_of(published, *where)
    other = edited(published, lambda d: flip(d["accuracy"][number - 1], 1))
    answer = run_cli("reproduce", other, "--row", 1)
    assert answer.code == 1
    assert "verdicts are not those of its cells" in " ".join(answer.out.split())


def test_a_mean_that_its_verdicts_do_not_give_is_caught(run_cli: Run, published: Path) -> None:
    other = edited(published, lambda d: d["accuracy"][0].update(accuracy=0.99))
    answer = run_cli("reproduce", other, "--row", 2)
    assert answer.code == 1
    assert "row 1, none clean: accuracy is 0.99, its verdicts say" in " ".join(answer.out.split())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda d: d["config"]["attacks"][0]["arguments"].update(steps=1), "the arguments of pgd"),
        (lambda d: d["config"].update(seed=3), "the hash of its settings"),
        (lambda d: d["config"].update(limit=4), "n is 6, the stored config gives 4"),
        (lambda d: d["accuracy"][1].update(ids_sha256="0" * 64), "its images are others"),
        (lambda d: d["accuracy"][1].update(goal="verdict"), "goal is verdict"),
    ],
)
def test_other_settings_and_images_do_not_hold(
    run_cli: Run, published: Path, change: Callable[[dict[str, Any]], None], why: str
) -> None:
    number = number_of(published, "jpeg", "gray_box", "pgd")
    text = published.read_text()
    document = json.loads(text)
    row = document["accuracy"].pop(number - 1)
    document["accuracy"].insert(1, row)
    write(published, document)
    answer = run_cli("reproduce", edited(published, change), "--row", 2)
    assert answer.code == 1
    assert why in " ".join(answer.out.split())


def test_draws_of_a_random_defense_are_compared(run_cli: Run, config: Write) -> None:
    words = ("-d", "random_resize_pad", "-a", "fgsm", "--rung", "gray_box", "--limit", 4)
    assert run_cli("run", config(SMALL), *words, "-o", "random").code == 0
    path = Path("random/results.json")
    number = number_of(path, "random_resize_pad (native)", "gray_box", "fgsm")
    assert run_cli("reproduce", path, "--row", number).code == 0

    def change(document: dict[str, Any]) -> None:
        row = document["accuracy"][number - 1]
        right = unpack_bits(row["verdicts"], row["n"])
        near = np.where(right, 10, 9).astype(np.uint8)  # every majority stays what it is
        row |= {"shares": pack_counts(near), "accuracy": round(float(near.mean() / 20), 6)}

    answer = run_cli("reproduce", edited(path, change), "--row", number)
    assert answer.code == 1
    assert "draws differ" in " ".join(answer.out.split())


def test_rows_are_drawn_by_seed_and_by_time() -> None:
    rows = [
        AccuracyRow.model_construct(
            attack="worst" if n % 5 == 0 else "pgd", seconds=n / 10 if n % 2 else None
        )
        for n in range(1, 51)
    ]
    results = Results.model_construct(name="planned", accuracy=rows)
    first, again = (choose_rows(results, [], 3, seed=5) for _ in range(2))
    assert first == again
    assert first.fitting == 40
    assert choose_rows(results, [], 3).seed != choose_rows(results, [], 3).seed
    drawn = {n for seed in range(300) for n in choose_rows(results, [], 3, seed=seed).numbers}
    assert drawn == {n for n in range(1, 51) if n % 5}
    quick = {
        n for s in range(50) for n in choose_rows(results, [], 5, seed=s, max_seconds=1).numbers
    }
    assert quick == {1, 3, 7, 9}
    with pytest.raises(ConfigError, match=r"took 0\.05 s or less\nhint: the quickest took 0\.1 s"):
        choose_rows(results, [], 3, max_seconds=0.05)


def test_no_rows_are_drawn_of_defenses_that_are_left_out() -> None:
    results = load_results(GOLDEN)
    names = list(results.defenses)[:2]
    chosen = choose_rows(results, [], 999, without=[name.split(" (")[0] for name in names])
    drawn = {results.accuracy[number - 1].defense for number in chosen.numbers}
    assert drawn == set(results.defenses) - set(names)
    assert chosen.fitting == len(chosen.numbers)
    with pytest.raises(ConfigError, match="has no row 'nothing'"):
        choose_rows(results, [], 3, without=["nothing"])


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--row", 0), "has no row 0\nhint: its rows count from 1 to"),
        (("--row", 999), "has no row 999"),
        ((), "which rows?\nhint: give either --row N or --sample K"),
        (("--row", 1, "--sample", 2), "which rows?"),
        (("--row", 1, "--max-seconds", 3), "nothing is drawn"),
        (("--row", 1, "--without", "none"), "nothing is drawn"),
        (("--sample", 1, "--max-seconds", 3), "does not say how long its rows took"),
    ],
)
def test_what_cannot_be_answered_exits_with_2(
    run_cli: Run, words: tuple[object, ...], why: str
) -> None:
    answer = run_cli("reproduce", GOLDEN, *words)
    assert (answer.code, answer.out) == (2, "")
    assert why in answer.err


def test_a_file_whose_plugin_or_data_is_not_here_exits_with_2(run_cli: Run, tmp_path: Path) -> None:
    document = example()
    document["config"] |= {"dataset": {"name": "cars", "plugin": "cars", "arguments": {}}}
    path = tmp_path / "other.json"
    write(path, document)
    number = next(n for n, r in enumerate(document["accuracy"], 1) if r["attack"] != "worst")
    answer = run_cli("reproduce", path, "--row", number)
    assert answer.code == 2
    assert "unknown dataset 'cars'" in answer.err
    path.write_text(path.read_text()[:-400])
    answer = run_cli("reproduce", path, "--row", number)
    assert answer.code == 2
    assert "are no JSON" in answer.err


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"newer": True}, "newer: Extra inputs are not permitted"),
        ({"attacks": [{"name": "pgd"}]}, "attacks/0/plugin: Field required"),
        ({"rungs": ["grey_box"]}, "unknown rung 'grey_box' in [run] rungs"),
    ],
)
def test_a_config_that_cannot_be_read_exits_with_2(
    run_cli: Run, published: Path, changes: dict[str, Any], why: str
) -> None:
    other = edited(published, lambda d: d["config"].update(changes))
    answer = run_cli("reproduce", other, "--row", 1)
    assert (answer.code, answer.out) == (2, "")
    assert f"carries a config that cannot be read: {why}\nhint: run the config again" in answer.err


def test_images_that_are_not_those_of_the_file_exit_with_2(run_cli: Run, published: Path) -> None:
    other = edited(published, lambda d: d["dataset"].update(sha256="0" * 64))
    answer = run_cli("reproduce", other, "--row", 1)
    assert answer.code == 2
    assert "was measured on 000000000000\nhint: take the images of that version" in answer.err


def test_rows_say_what_they_took(published: Path) -> None:
    results = load_results(published)
    for row in results.accuracy:
        assert (row.seconds is None) == row.worst
    clean = results.row(defense="jpeg", rung="")
    replayed = results.row(defense="jpeg", rung="gray_box", attack="pgd")
    assert clean is not None
    assert replayed is not None
    assert clean.seconds
    assert replayed.seconds
    # A replay has to make its examples and to score clean images, too.
    assert replayed.seconds > clean.seconds
    first, last = results.rows(defense="jpeg", rung="bpda", attack="pgd")
    assert (first.eps, last.eps) == (2 / 255, 8 / 255)
    assert first.seconds
    assert last.seconds
    assert last.seconds > first.seconds  # the smaller eps come first
