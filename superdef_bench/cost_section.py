"""What defenses cost, as a section of a leaderboard. No torch."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from superdef_bench.formats import grid, link, three_digits
from superdef_bench.notes import row_name
from superdef_bench.pareto import PARETO, has_pareto
from superdef_bench.ranking import Standing
from superdef_bench.results import Results

Costs = Mapping[tuple[str, str], Mapping[str, Any]]


def cost_section(results: Results, standings: Sequence[Standing]) -> Iterator[str]:
    """Yield counts and, where the results have them, times of each row."""
    costs: Costs = {(row["defense"], row["scope"]): row for row in results.document["cost"]}
    yield "## Cost of one image"
    yield ""
    yield from _counts(results, standings, costs)
    if any("latency_ms" in row for row in costs.values()):
        yield from _times(results, standings, costs)
    if has_pareto(results, standings):
        yield f"!{link('Accuracy against cost', results.name + PARETO)}"
        yield ""
        yield (
            "Adaptive and gray-box accuracy of each row against what its pipeline costs; on a "
            "frontier nothing that costs as little holds more."
        )
        yield ""


def _counts(results: Results, standings: Sequence[Standing], costs: Costs) -> Iterator[str]:
    counted = any("ops" in row for row in costs.values())
    head = ["defense"]
    for scope in ("own", "pipeline"):
        head += [f"{scope} parameters", f"{scope} GMAC"]
        head += [f"{scope} operations", f"{scope} MB"] if counted else []
    rows = []
    for s in standings:
        cells: list[str] = []
        for scope in ("defense", "pipeline"):
            cost = costs.get((s.defense, scope))
            cells += [f"{cost['params']:,}", f"{cost['gmac']:.4f}"] if cost else ["–", "–"]
            if counted:
                told = cost and "ops" in cost and [f"{cost['ops']:,}", f"{cost['bytes'] / 1e6:.2f}"]
                cells += told or ["–", "–"]
        rows.append([row_name(results, s.defense), *cells])
    yield from grid(head, rows)
    yield (
        "GMAC counts convolutions and matrix products as torch dispatches them; element-wise "
        "work, resizing and JPEG count 0."
        + (
            " Operations: what torch dispatches, views apart. MB: each operation reads its "
            "tensors and writes its results once."
            if counted
            else ""
        )
    )
    yield ""


def _times(results: Results, standings: Sequence[Standing], costs: Costs) -> Iterator[str]:
    # Other work on the machine lengthens many passes, the best tenth hardly.
    bare = costs.get(("none", "pipeline"), {}).get("latency_ms", {}).get("p10")
    rows = []
    for s in standings:
        own, whole = (costs.get((s.defense, scope), {}) for scope in ("defense", "pipeline"))
        if "latency_ms" not in whole:
            rows.append([row_name(results, s.defense), *["–"] * 6])
            continue
        times = whole["latency_ms"]
        rows.append(
            [
                row_name(results, s.defense),
                three_digits(own["latency_ms"]["p50"]),
                *(three_digits(times[name]) for name in ("p50", "p90", "p99")),
                f"{times['p10'] / bare:.2f}" if bare else "–",
                f"{whole['memory'] / 1e6:.1f}",
            ]
        )
    yield from grid(
        ["defense", "own ms", "pipeline ms", "p90", "p99", "ratio to none", "MB alive"], rows
    )
    yield (
        "Milliseconds of one image, median, on the machine above: all rows in turns, while "
        "whatever else it did went on. Ratio: of the p10 of both, which other work disturbs least; "
        "it is what can be compared. MB alive: most at once, weights among them."
    )
    yield ""
