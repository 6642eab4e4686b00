"""Examples are made once: for all rows, for rows that come later, and for another folder."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from superdef_bench.core.loader import use_plugins
from superdef_bench.run.prepare import prepare
from superdef_bench.run.runner import compute
from tests.support.commands import Answer, records
from tests.support.counting import COUNTING, calls

Run = Callable[..., Answer]
Write = Callable[..., Path]

CONFIG = """
[run]
dataset = "signs"
model = "signs_resnet8"
limit = 8
batch_size = 8
masking = 0
rungs = [{rungs}]
[threat]
eps = ["2/255", "8/255"]
[attacks]
counting = {{ log = "calls" }}
[defenses]
{defenses}
"""
CHEAP = [
    *(
        f'jpeg_{quality} = {{ plugin = "jpeg", quality = {quality} }}'
        for quality in range(10, 60, 10)
    ),
    *(f'bits_{bits} = {{ plugin = "bit_depth", bits = {bits} }}' for bits in (2, 3, 4)),
    *("nearest_x2 = {}", "bicubic_x2 = {}"),
]
LOG = Path("calls")
ONCE = [("bare", 8, 8, 8)] * 2  # a call for each radius


@pytest.fixture
def run(
    config: Write, plugin_folder: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Return a function that makes the records of a config; no cost is measured, no page drawn."""
    monkeypatch.chdir(tmp_path)
    registry = use_plugins([plugin_folder(COUNTING)], third_party=False)

    def with_rows(count: int, out: str, rungs: str = '"gray_box"') -> None:
        path = config(CONFIG.format(rungs=rungs, defenses="\n".join(CHEAP[:count])))
        prepared = prepare(str(path), registry, torch.device("cpu"))
        outcome = compute(prepared.benchmark, prepared.plan, Path(out))
        assert not outcome.failures

    return with_rows


def test_ten_defenses_cost_the_attack_of_one_and_one_more_costs_none(
    run: Callable[..., None],
) -> None:
    run(1, "grows")
    assert calls(LOG) == ONCE
    run(2, "grows")
    assert calls(LOG) == []
    run(10, "ten")
    assert calls(LOG) == ONCE
    rows = [row for row in records(Path("ten")) if row["rung"] == "gray_box"]
    assert len({row["defense"] for row in rows}) == 1 + 10


def test_who_knows_the_defense_attacks_the_new_one_alone(run: Callable[..., None]) -> None:
    rungs = '"gray_box", "bpda"'
    run(1, "grows", rungs)
    assert [on for on, *_ in calls(LOG)] == ["bare", "bare", "defense", "defense"]
    run(2, "grows", rungs)
    new = calls(LOG)
    assert {on for on, *_ in new} == {"defense"}
    assert sum(images for _, images, *_ in new) <= 2 * 8
    broken = [r for r in records(Path("grows")) if (r["rung"], r["defense"]) == ("bpda", "jpeg_20")]
    assert len(broken) == 2 * 8


def test_examples_of_another_folder_are_imported_and_made_no_more(
    run: Callable[..., None], run_cli: Run
) -> None:
    run(1, "there")
    calls(LOG)
    for eps in ("2/255", "8/255"):
        assert run_cli("bank", "export", "there", "counting", "--eps", eps, "-o", "it.pt").code == 0
        answer = run_cli("bank", "import", "it.pt", "here")
        assert (answer.code, answer.err) == (0, "")
        assert answer.out == "8 examples of counting, 1 file: here\n"
    run(2, "here")
    assert calls(LOG) == []
    names = ("image_id", "eps", "bits", "prediction", "linf", "l2", "forwards", "backwards", "key")
    found = [
        sorted(
            tuple(row[name] for name in names)
            for row in records(Path(folder))
            if (row["rung"], row["defense"]) == ("gray_box", "jpeg_10")
        )
        for folder in ("there", "here")
    ]
    assert found[0] == found[1]
    assert len(found[0]) == 2 * 8
