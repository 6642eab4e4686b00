"""Clocks, turns, ceilings and modes, on pipelines whose time is known."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from superdef_bench import InputTransform, load_model
from superdef_bench.core.transform import Protected
from superdef_bench.measure.latency import LONGEST, Budget, Costs, measure
from superdef_bench.measure.modes import Mode, Pipeline
from superdef_bench.measure.roofline import Ceilings, measure_ceilings
from superdef_bench.measure.run_costs import costs_of_run
from superdef_bench.measure.timing import Lap, Laps, Stopwatch, take_turns
from superdef_bench.measure.work import Work, work_of

CPU = torch.device("cpu")


class Clock:
    """Time that passes only where a network spends it."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr("superdef_bench.measure.timing.time", found)
    return found


class Slow(InputTransform):
    """Takes a known time per image, on and on in a circle."""

    def __init__(self, clock: Clock, *seconds: float) -> None:
        super().__init__()
        self.clock, self.seconds = clock, itertools.cycle(seconds)

    def __deepcopy__(self, memo: object) -> "Slow":
        raise TypeError("it has a clock")  # so that counting takes this one

    def transform(self, x: Tensor) -> Tensor:
        self.clock.now += len(x) * next(self.seconds)
        return x + 0.0


def laps_of(networks: dict[str, Slow], *, rounds: int, seconds: float = 99) -> dict[str, Laps]:
    pipelines = {
        name: Pipeline(Protected([network], nn.Identity()), Mode())
        for name, network in networks.items()
    }
    x, watch = torch.zeros(1, 3, 4, 4), Stopwatch(CPU)
    laps = {name: watch.warm_up(one, x, seconds=seconds) for name, one in pipelines.items()}
    take_turns(pipelines, x, laps, watch, rounds=rounds, seconds=seconds, slow=99)
    return laps


def test_a_network_that_takes_four_times_as_long_has_a_ratio_of_four(clock: Clock) -> None:
    # The first pass warms up; one later round meets a busy machine in both alike.
    fast, slow = laps_of(
        {
            "fast": Slow(clock, 9, 0.02, 0.02, 0.02, 0.2, 0.02),
            "slow": Slow(clock, 9, 0.08, 0.08, 0.08, 0.8, 0.08),
        },
        rounds=3,
    ).values()
    assert fast.first.defense == slow.first.defense == 9
    assert fast.ratio(fast, "defense") == 1
    assert slow.ratio(fast, "defense") == pytest.approx(4)
    assert fast.seconds("defense") == pytest.approx([0.02, 0.2, 0.02])
    assert slow.milliseconds("defense")["p50"] == pytest.approx(80)


def test_percentiles_are_those_of_the_passes() -> None:
    passes = [Lap(0.001 * value, 0.002 * value) for value in range(1, 102)]
    found = Laps(passes[0], passes[0], [passes[:50], passes[50:]])
    assert found.milliseconds("defense") == pytest.approx(
        {"p10": 11, "p50": 51, "p90": 91, "p99": 100}
    )
    assert found.milliseconds("pipeline")["p50"] == pytest.approx(102)
    assert Laps(passes[4], passes[2]).milliseconds("defense")["p99"] == pytest.approx(3)


def test_the_warm_up_goes_on_until_two_passes_agree(clock: Clock) -> None:
    network = Slow(clock, 5, 3, 2, 1, 1.01, 7)
    pipeline = Pipeline(Protected([network], nn.Identity()), Mode())
    laps = Stopwatch(CPU).warm_up(pipeline, torch.zeros(1, 3, 4, 4), seconds=99)
    assert (laps.first.defense, laps.last.defense) == pytest.approx((5, 1.01))
    assert laps.turns == []
    assert clock.now == pytest.approx(5 + 3 + 2 + 1 + 1.01)


def test_a_budget_of_nothing_is_one_round_and_a_slow_one_keeps_its_warm_up(clock: Clock) -> None:
    found = laps_of({"a": Slow(clock, 1), "slow": Slow(clock, 100)}, rounds=9, seconds=0)
    assert [len(turn) for turn in found["a"].turns] == [1]
    assert found["slow"].turns == []
    assert found["slow"].milliseconds("defense")["p50"] == pytest.approx(100_000)


def test_a_fast_network_has_several_passes_in_its_turn(clock: Clock) -> None:
    found = laps_of({"fast": Slow(clock, 0.01), "slow": Slow(clock, 1)}, rounds=3)
    assert [len(turn) for turn in found["fast"].turns] == [10, 10, 10]
    assert [len(turn) for turn in found["slow"].turns] == [1, 1, 1]
    assert found["slow"].ratio(found["fast"], "defense") == pytest.approx(100)


def test_a_batch_that_would_take_too_long_is_estimated_and_not_run(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    per_image = LONGEST / 32
    pipelines = {
        "slow": Protected([Slow(clock, per_image)], load_model("signs_resnet8")),
        "quick": Protected([Slow(clock, per_image / 100)], load_model("signs_resnet8")),
    }
    found = measured(pipelines, [16, 64])
    shown = {
        (row["defense"], row["batch_size"]): row["too_large"]
        for row in found.rows
        if row["scope"] == "pipeline"
    }
    assert shown == {
        (name, n): "time" if (name, n) == ("slow", 64) else ""
        for name in pipelines
        for n in (1, 16, 64)
    }
    assert clock.now < 10 * LONGEST
    monkeypatch.setattr("superdef_bench.measure.latency._FITTING", 0.0)
    assert {row["too_large"] for row in measured(pipelines, [16]).rows} == {"memory"}


def measured(
    pipelines: dict[str, Protected],
    batches: list[int],
    budget: Budget = Budget(rounds=1, seconds=0),  # noqa: B008  # it is frozen
) -> Costs:
    return measure(
        pipelines,
        "signs_resnet8",
        sizes=[8],
        batches=batches,
        modes=[Mode()],
        budget=budget,
        device=CPU,
    )


def test_ceilings_are_positive_and_a_pass_stays_below_them() -> None:
    ceilings = measure_ceilings(CPU, ["float32"])
    assert 0 < ceilings.overhead < 1000
    assert ceilings.gflops["float32"] > 1
    conv = nn.Conv2d(64, 64, 3, padding=1)
    x = torch.zeros(1, 64, 32, 32)
    protected = Protected([], conv)
    watch, pipeline = Stopwatch(CPU), Pipeline(protected, Mode())
    fastest = min(watch.lap(pipeline, x).pipeline for _ in range(20))
    work = work_of(protected, tuple(x.shape), device=CPU)["pipeline"]
    found = ceilings.judge(work, fastest, dtype="float32", fuses=False)
    assert found.intensity == pytest.approx(2e9 * work.gmac / work.fused)
    assert 0 < found.share < 1.3


def test_the_roofline_of_known_ceilings() -> None:
    ceilings = Ceilings({"float32": 100.0, "bfloat16": 200.0}, {1000: 10.0, 10**6: 1.0}, 5.0)
    work = Work(params=0, gmac=0.05, ops=10, moved=0, fused=1_000_000, memory=5000)
    found = ceilings.judge(work, 0.002, dtype="float32", fuses=False)  # 1 ms to compute
    assert (found.gflops, found.intensity, found.share) == pytest.approx((50, 100, 0.5))
    assert found.bound == "compute"
    assert ceilings.judge(work, 0.002, dtype="bfloat16", fuses=False).share == pytest.approx(0.25)
    many = Work(params=0, gmac=0.05, ops=300, moved=0, fused=1_000_000, memory=5000)
    assert ceilings.judge(many, 0.002, dtype="float32", fuses=False).bound == "launch"
    assert ceilings.judge(many, 0.002, dtype="float32", fuses=True).bound == "compute"
    large = Work(params=0, gmac=0.05, ops=10, moved=0, fused=2_000_000, memory=10**7)
    slow = ceilings.judge(large, 0.002, dtype="float32", fuses=False)
    assert slow.bound == "memory"
    assert slow.share == pytest.approx(1.0)


class Tiny(InputTransform):
    """Many operations on next to nothing."""

    def transform(self, x: Tensor) -> Tensor:
        for _ in range(400):
            x = x.relu()
        return x


class Wide(InputTransform):
    """One operation on very much."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 512, 7, padding=3)

    def transform(self, x: Tensor) -> Tensor:
        return self.conv(x)[:, :3].sigmoid()


def test_many_small_operations_are_bound_by_launches_and_one_large_is_not() -> None:
    pipelines = {
        "tiny": Protected([Tiny()], nn.Identity()),
        "wide": Protected([Wide()], nn.Identity()),
    }
    bounds = []
    for _ in range(4):  # whatever else computes makes a pass longer, and starting it no dearer
        rows = measured(pipelines, [], Budget(rounds=30, seconds=3)).rows
        bounds.append({row["defense"]: row["roofline"]["bound"] for row in rows})
        if bounds[-1]["tiny"] == "launch":
            break
    assert bounds[-1]["tiny"] == "launch", bounds
    assert not any(found["wide"] == "launch" for found in bounds)


class Broken(InputTransform):
    def transform(self, x: Tensor) -> Tensor:
        raise RuntimeError("broken")


def test_a_run_times_all_rows_in_turns_and_leaves_out_what_fails() -> None:
    defenses = {
        "none": Protected([], load_model("signs_resnet8")),
        "broken": Protected([Broken()], load_model("signs_resnet8")),
        "tiny": Protected([Tiny()], load_model("signs_resnet8")),
    }
    image = torch.rand(1, 3, 32, 32)
    rows = list(costs_of_run(defenses, "signs_resnet8", image, timed=True))
    assert [(row["defense"], row["scope"]) for row in rows] == [
        *(("none", "defense"), ("none", "pipeline")),
        *(("tiny", "defense"), ("tiny", "pipeline")),
    ]
    own, whole = rows[2:]
    assert 0 < own["latency_ms"]["p50"] < whole["latency_ms"]["p50"]
    assert own["throughput"] == pytest.approx(1000 / own["latency_ms"]["p50"], rel=0.01)
    assert own["memory"] <= whole["memory"]
    assert np.isfinite([row["latency_ms"]["p99"] for row in rows]).all()
    untimed = list(costs_of_run(defenses, "signs_resnet8", image, timed=False))
    assert not any("latency_ms" in row or "throughput" in row for row in untimed)
    assert [row["gmac"] for row in untimed] == [row["gmac"] for row in rows]
