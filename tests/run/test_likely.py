"""How long a plan says that a run will take, beside the run itself."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from superdef_bench.core.loader import load_plugins
from superdef_bench.run.likely import Pass, likely_seconds, measure_passes
from superdef_bench.run.prepare import Prepared, Selection, prepare
from superdef_bench.run.runner import run

Write = Callable[..., Path]


def prepared(config: str, **selection: object) -> Prepared:
    chosen: Selection = selection  # type: ignore[assignment]  # keywords of this file
    return prepare(config, load_plugins(), torch.device("cpu"), **chosen)


def test_what_is_counted_for_each_kind_of_row(config: Write) -> None:
    text = """
    [run]
    dataset = "signs"
    model = "signs_resnet8"
    limit = 4
    masking = 0
    rungs = ["gray_box", "bpda"]
    [threat]
    eps = ["2/255", "8/255"]
    [attacks]
    pgd = { steps = 10 }
    autoattack = {}
    apgd_pm = { steps = 20 }
    [defenses]
    jpeg = {}
    """
    found = prepared(str(config(text)))
    passes = {d.name: Pass(forward=1.0, both=3.0) for d in found.benchmark.defenses}
    passes["signs_resnet8"] = Pass(forward=1.0, both=3.0)
    likely = {
        (g.defense.name, g.cells[0].rung, g.cells[0].attack): likely_seconds(
            found.benchmark, found.plan, g, passes
        )
        for g in found.plan.groups
    }
    # 4 images; 2 radii, each scored by a forward pass.
    assert likely["jpeg", "", "none"] == 4
    assert likely["jpeg", "gray_box", "pgd"] == 4 * 2
    # 11 forwards and 10 backwards for each radius, where examples are made, the half where an
    # image is left once it is fooled.
    assert likely["none", "gray_box", "pgd"] == 4 * 2 * (1 + 10 * 3) + 4 * 2
    assert likely["jpeg", "bpda", "pgd"] == 4 * (1 + 10 * 3) + 4 * 2
    # Of thousands of passes the first hundred.
    assert likely["jpeg", "bpda", "autoattack (own engine)"] == 4 * 2 * 100 * 3 + 4 * 2
    # Of a short attack of many stages the steps of one; where examples are made, all of it.
    assert likely["jpeg", "bpda", "apgd_pm"] == 4 * 2 * 20 * 3 + 4 * 2
    whole = next(
        g.passes
        for g in found.plan.groups
        if (g.defense.name, g.cells[0].attack, g.cells[0].rung) == ("none", "apgd_pm", "gray_box")
    )
    assert whole is not None
    forwards, backwards = whole
    made = forwards - backwards + 3 * backwards
    assert likely["none", "gray_box", "apgd_pm"] == 4 * made + 4 * 2


@pytest.mark.slow
def test_a_part_of_the_quickstart_takes_between_half_and_twice_the_time(tmp_path: Path) -> None:
    found = prepared("quickstart", defenses=["nearest_x2", "jpeg"], limit=8)
    passes = measure_passes(found.benchmark)
    likely = sum(likely_seconds(found.benchmark, found.plan, g, passes) for g in found.plan.groups)
    # Of this process alone: others on the machine slow the run, not what it computes.
    threads, start = torch.get_num_threads(), time.process_time()
    run(found.benchmark, found.plan, tmp_path / "out", command="a test")
    seconds = (time.process_time() - start) / threads
    assert likely / 2 < seconds < likely * 2, (likely, seconds)
