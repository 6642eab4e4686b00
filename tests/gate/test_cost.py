"""The gate judges costs: work everywhere, time where it compares."""

from typing import Any

import pytest

from superdef_bench.gate.findings import Check, Report
from tests.support.gate_documents import accuracy_of, cost_row, only, report


@pytest.mark.parametrize(
    ("metric", "value", "status"),
    [
        ("gmac", 0.5049, "unchanged"),
        ("gmac", 0.51, "regressed"),
        ("gmac", 0.4, "improved"),
        ("params", 1011, "regressed"),
        ("params", 900, "improved"),
    ],
)
def test_costs_are_relative(metric: str, value: float | None, status: str) -> None:
    before, after = accuracy_of(500), accuracy_of(500)
    after["cost"][1][metric] = value
    checks = {(c.metric, c.what): c.status for c in report(before, after).checks}
    assert checks.pop((metric, "pipeline, 1 x 32x32")) == status
    assert set(checks.values()) == {"unchanged"}


def test_what_cost_nothing_may_not_begin_to() -> None:
    before, after = accuracy_of(500), accuracy_of(500)
    before["cost"][0]["gmac"] = 0.0
    assert only(report(before, after), "regressed").why.startswith("rose 0 to 0.5")
    del after["cost"][0]
    gone = report(accuracy_of(500), after)
    assert [check.metric for check in gone.of("missing")] == ["params", "gmac"]


def timed(milliseconds: float, *, reference: float | None = None, **machine: Any) -> dict[str, Any]:
    made = accuracy_of(500)
    times = {"p10": milliseconds, "p50": 1.2 * milliseconds, "p90": 9.0, "p99": 9.0}
    made["cost"] = [cost_row("jpeg", "pipeline", latency_ms=times)]
    made["provenance"]["machine"] |= machine
    made["provenance"] |= {"reference_ms": reference} if reference else {}
    return made


def latency(found: Report) -> Check:
    (check,) = (check for check in found.checks if check.metric == "latency")
    return check


def test_latency_compares_on_one_machine_or_in_one_job() -> None:
    assert latency(report(timed(10), timed(12))).status == "unchanged"
    assert latency(report(timed(10), timed(16))).status == "regressed"
    assert latency(report(timed(10), timed(16), "latency:70%")).status == "unchanged"
    assert latency(report(timed(10), timed(4))).status == "improved"
    elsewhere = report(timed(10), timed(30, processor="Another"))
    assert latency(elsewhere).status == "not comparable"
    assert latency(elsewhere).why == "measured with another machine"
    assert not elsewhere.regressed
    # A row that was added to the baseline was timed where its own run was.
    added, other = timed(10), timed(30, processor="Another")
    added["defenses"]["jpeg"] = {**added["defenses"]["jpeg"], "provenance": other["provenance"]}
    assert latency(report(added, timed(16))).why == "measured with another machine"
    assert latency(report(added, timed(31, processor="Another"))).status == "regressed"
    together = report(timed(10), timed(30, processor="Another"), one_job=True)
    assert latency(together).status == "regressed"
    threads = timed(10)
    threads["provenance"]["threads"] = 1
    assert "threads" in latency(report(timed(10), threads)).why
    untimed = accuracy_of(500) | {"cost": [cost_row("jpeg", "pipeline")]}
    assert latency(report(timed(10), untimed)).status == "missing"
    # What the clock itself takes is no latency.
    assert not [c for c in report(timed(0.01), timed(0.03)).checks if c.metric == "latency"]


def test_a_busy_machine_is_no_slow_defense() -> None:
    # All takes twice as long, the reference kernel too.
    assert latency(report(timed(10, reference=5), timed(20, reference=10))).status == "unchanged"
    slow = latency(report(timed(10, reference=5), timed(20, reference=5)))
    assert slow.status == "regressed"
    assert "+100 % beside the reference kernel" in slow.why
    # Nor is a reference that was fast for once.
    assert latency(report(timed(10, reference=5), timed(10, reference=2))).status == "unchanged"
    # A load that comes and goes slows the median and not the fastest passes.
    shaky = timed(10)
    shaky["cost"][0]["latency_ms"]["p50"] = 40.0
    assert latency(report(timed(10), shaky)).status == "unchanged"
