"""A gradient that could not be probed is not trusted, and a plan says what it refuses."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from superdef_bench.results.schema import AccuracyRow
from superdef_bench.run.completeness import suspicion_of
from tests.support.commands import CONFIG, Answer
from tests.support.rows import row_of


def suspicion(rows: list[AccuracyRow], *, failed: str = "", of: str = "it") -> str:
    """Return what is said of a defense after a probe of another, or its own, failed or not."""
    mine, other = SimpleNamespace(name="it"), SimpleNamespace(name="other")
    groups = [
        SimpleNamespace(probe=probe, defense=owner, cells=[SimpleNamespace(key=f"{probe} {name}")])
        for name, owner in (("it", mine), ("other", other))
        for probe in ("", "repeat", "finite_difference")
    ]
    outcome = SimpleNamespace(failures={f"{failed} {of}": "it raised"} if failed else {})
    plan: Any = SimpleNamespace(groups=groups)
    return suspicion_of(plan, outcome, mine, rows)  # type: ignore[arg-type]  # all that it reads


def probed(correct: int, attack: str = "finite_difference") -> AccuracyRow:
    return row_of(np.arange(16) < correct, rung="masking", attack=attack)


def test_a_probe_that_failed_is_as_good_as_a_gradient_that_disagrees() -> None:
    rows = [probed(16, "repeat")]
    assert suspicion(rows) == ""
    said = suspicion(rows, failed="finite_difference")
    assert said == "its gradient could not be probed: it raised"
    assert suspicion(rows, failed="finite_difference", of="other") == ""
    assert suspicion(rows, failed="repeat") == ""
    # Nothing is said of a defense that has no rows at all.
    assert suspicion([], failed="finite_difference") == ""


@pytest.mark.parametrize(("correct", "suspect"), [(16, False), (8, False), (7, True), (0, True)])
def test_autograd_may_disagree_on_half_of_the_images(correct: int, suspect: bool) -> None:
    said = suspicion([probed(0, "repeat"), probed(correct)])
    assert said.startswith("autograd disagrees" if suspect else "")
    assert bool(said) == suspect


class Clock:
    """Only sleepy takes time, whatever else the machine does."""

    seconds = 0.0

    def perf_counter(self) -> float:
        return self.seconds


SLEEPY = """
import superdef_bench.benchmark.build
from superdef_bench import InputTransform, hookimpl

class Sleepy(InputTransform):
    def transform(self, x):
        superdef_bench.benchmark.build.time.seconds += 10 * len(x)
        return x

@hookimpl
def register_defenses():
    return {"sleepy": Sleepy}
"""


def test_a_plan_says_which_cells_are_refused_and_why(
    run_cli: Callable[..., Answer],
    config: Callable[..., Path],
    plugin_folder: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("superdef_bench.benchmark.build.time", Clock())
    text = CONFIG.replace("masking = 0", "masking = 4\ncell_seconds = 1").replace(
        "bicubic_x2", "sleepy = {}\nbicubic_x2"
    )
    words = ("run", config(text), "--limit", 4, "--plan")
    answer = run_cli(*words, "--plugins-dir", plugin_folder(SLEEPY))
    assert answer.code == 0, answer.err
    said = " ".join(answer.out.split())
    for rung in ("white_box", "bpda"):
        # Once for both eps, and never for what only probes or replays.
        why = f"{rung} fgsm on sleepy is not run: refused: up to 3 min, cell_seconds is 1"
        assert said.count(why) == 1
    assert said.count("is not run") == 2
    assert not Path("runs").exists()
