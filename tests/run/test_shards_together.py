"""A batch that is larger than a shard takes several of them; records stay those of each shard."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from superdef_bench.core.loader import load_plugins, use_plugins
from superdef_bench.run.prepare import prepare
from superdef_bench.run.records import Outcome
from superdef_bench.run.runner import _shards_at_once, compute
from tests.support.commands import records
from tests.support.counting import COUNTING, calls

Write = Callable[..., Path]

CONFIG = """
[run]
dataset = "signs"
model = "signs_resnet8"
limit = 70
batch_size = {batch}
masking = 0
draws = 20
eot = 1
rungs = ["gray_box", "white_box"]
[threat]
eps = [{eps}]
[attacks]
counting = {{ log = "calls" }}
pgd = {{ steps = 3 }}
[defenses]
nearest_x2 = {{}}
gaussian_noise = {{ limit = 66 }}
"""
LOG = Path("calls")


@pytest.fixture
def run(
    config: Write, plugin_folder: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int, str], Outcome]:
    monkeypatch.chdir(tmp_path)
    registry = use_plugins([plugin_folder(COUNTING)], third_party=False)

    def in_batches(size: int, out: str) -> Outcome:
        path = config(CONFIG.format(batch=size, eps='"2/255"'))
        prepared = prepare(str(path), registry, torch.device("cpu"))
        return compute(prepared.benchmark, prepared.plan, Path(out))

    return in_batches


def told(folder: str) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in records(Path(folder))}


@pytest.mark.ci
def test_shards_are_attacked_in_one_batch_and_verdicts_stay(
    run: Callable[[int, str], Outcome],
) -> None:
    assert not run(64, "apart").failures
    apart = calls(LOG)
    assert not run(128, "together").failures
    together = calls(LOG)
    # The bare classifier once, 70 images; a random defense draws by call, so it gets shards.
    assert [images for on, images, *_ in together if on == "bare"] == [70]
    assert [images for on, images, *_ in apart if on == "bare"] == [64, 6]
    assert sum(images for _, images, *_ in apart) == sum(images for _, images, *_ in together)
    assert {2, 64} <= {images for on, images, *_ in together if on == "defense"}
    before, after = told("apart"), told("together")
    assert before.keys() == after.keys()
    assert len(before) == 2 * 70 + 66 + 2 * (2 * 70 + 66) + 2 * (70 + 66)
    for key, row in before.items():
        for name in ("bits", "prediction", "image_id", "position", "first_step", "success"):
            assert row[name] == after[key][name]
        for name in ("linf", "l2"):
            assert row[name] == pytest.approx(after[key][name], abs=1e-5)


@pytest.mark.slow
def test_a_run_goes_on_in_batches_of_another_size(run: Callable[[int, str], Outcome]) -> None:
    first = run(128, "out")
    calls(LOG)
    again = run(64, "out")
    assert (again.computed, again.reused) == (0, first.computed)
    assert calls(LOG) == []


@pytest.mark.ci
def test_what_one_shard_fails_at_the_whole_cell_lacks(
    config: Write, plugin_folder: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcomes = []
    registry = use_plugins(
        [
            plugin_folder(
                COUNTING.replace("step = threat", "assert threat.eps < 0.005; step = threat")
            )
        ],
        third_party=False,
    )
    for size in (64, 128):
        text = CONFIG.format(batch=size, eps='"1/255", "2/255"')
        text = text.replace("gaussian_noise = { limit = 66 }", "")
        prepared = prepare(str(config(text)), registry, torch.device("cpu"))
        out = compute(prepared.benchmark, prepared.plan, Path(str(size)))
        outcomes.append((set(out.failures), out.computed))
    (alone, fewer), (both, more) = outcomes
    assert alone == both
    assert len(alone) == 3
    assert fewer <= more  # of a cell that works every shard is made before the next one fails


def test_memory_bounds_how_many_shards_a_batch_holds() -> None:
    plan = prepare("quickstart", load_plugins(), torch.device("cpu"), attacks=["fgsm"])
    wide = plan.benchmark.config.model_copy(update={"batch_size": 65_536})
    benchmark = replace(plan.benchmark, config=wide)
    # Clean images and the examples of two radii, float32.
    assert _shards_at_once(benchmark, plan.plan) == 2**30 // (64 * 3 * 32 * 32 * 4 * 3)
    few = wide.model_copy(update={"batch_size": 200})
    assert _shards_at_once(replace(benchmark, config=few), plan.plan) == 3
