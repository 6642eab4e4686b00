"""How often the gate cries wolf, and what it sees: simulated, and worked out."""

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from superdef_bench.gate.compare import ALPHA, compare, fewest
from superdef_bench.gate.findings import parse_limits
from superdef_bench.results.load import load_results
from superdef_bench.results.schema import Results
from superdef_bench.results.statistics import binomial_tail, holm, mcnemar
from tests.support.gate_documents import Place, document, right

N = 512  # images of the gate
ROWS = 34  # accuracy rows of the gate
POINTS = 1.0
_MOST = 256
_ROOT = Path(__file__).parents[2]
_PAGE = (_ROOT / "docs/gate.md").read_text()

Counts = NDArray[np.int64]


@cache
def p_of(fell: int, rose: int) -> float:
    """Return McNemar's p for so many images that fell and rose."""
    first = np.repeat([True, False], [fell, rose])
    return mcnemar(first, ~first)


def alarms(fell: Counts, rose: Counts) -> NDArray[np.bool_]:
    """Return which rows of one comparison regress, as `compare` decides it, `(rows,)`."""
    p = np.array(holm([p_of(*pair) for pair in zip(fell.tolist(), rose.tolist(), strict=True)]))
    return (p < ALPHA) & (100 * (fell - rose) / N > POINTS)


def flips(
    seed: int, shape: tuple[int, ...], churn: float, fall: float = 0.0
) -> tuple[Counts, Counts]:
    """Return how many images fell and rose in each row, `shape`.

    Args:
        seed: Of the draws.
        shape: Comparisons and rows.
        churn: Share of images whose verdict flips for no reason, half of them each way.
        fall: Share of images that fall beside.
    """
    drawn = np.random.default_rng(seed).multinomial(
        N, [churn / 2 + fall, churn / 2, 1 - churn - fall], size=shape
    )
    return drawn[..., 0], drawn[..., 1]


def test_the_simulation_decides_as_the_gate_does() -> None:
    fell, rose = flips(0, (25, ROWS), churn=0.04, fall=0.03)
    seen = 0
    for falls, rises in zip(fell, rose, strict=True):
        places: list[Place] = [("jpeg", "gray_box", f"attack{row}") for row in range(ROWS)]
        # The last of those that are right fall, the first of the others rise.
        after = [
            right(N, 400 - f) | (right(N, 400 + r) & ~right(N, 400))
            for f, r in zip(falls, rises, strict=True)
        ]
        before = document({place: right(N, 400) for place in places})
        found = compare(
            Results.of(before),
            Results.of(document(dict(zip(places, after, strict=True)))),
            parse_limits([]),
        )
        judged = [check.status == "regressed" for check in found.checks if check.n]
        assert judged == alarms(falls, rises).tolist()
        seen += sum(judged)
    assert 0 < seen < 25 * ROWS


@pytest.mark.parametrize("rows", [5, ROWS, 350])
@pytest.mark.parametrize("churn", [0.005, 0.02, 0.1, 0.3])
def test_where_nothing_changed_one_comparison_in_a_hundred_fails_at_most(
    rows: int, churn: float
) -> None:
    times = 2000
    fell, rose = flips(1, (times, rows), churn)
    # Only what Holm's first step lets through can be an alarm: the rest needs no second look.
    smallest = np.array(
        [min(map(p_of, *pair)) for pair in zip(fell.tolist(), rose.tolist(), strict=True)]
    )
    places = np.flatnonzero(smallest * rows < ALPHA)
    wrong = sum(bool(alarms(fell[place], rose[place]).any()) for place in places)
    assert wrong / times <= ALPHA


def power(fall: float, churn: float) -> float:
    """Return the exact probability that a row is seen to fall, alone among all rows.

    Args:
        fall: Share of images that fall, each by itself.
        churn: Share of images whose verdict flips for no reason, half of them each way.
    """
    seen = 0.0
    for rose in range(_MOST):
        # The least number of falls that is seen beside so many rises; p sinks with each.
        fell = next(f for f in range(rose, N) if p_of(f, rose) * ROWS < ALPHA)
        fell = max(fell, rose + math.floor(POINTS * N / 100) + 1)
        among = (churn / 2 + fall) / (1 - churn / 2)
        given = binomial_tail(fell, N - rose, among)
        here = math.comb(N, rose) * (churn / 2) ** rose * (1 - churn / 2) ** (N - rose)
        seen += here * given
        if rose and here < 1e-12:
            break
    return seen


def test_the_page_says_how_often_a_fall_is_seen() -> None:
    table = _PAGE.split("| fall |")[1].split("\n\n")[0].splitlines()
    churns = [float(cell.split()[0]) / 100 for cell in table[0].strip("|").split("|")]
    for line in table[2:]:
        fall, *cells = [float(cell.split()[0]) / 100 for cell in line.strip("|").split("|")]
        for churn, told in zip(churns, cells, strict=True):
            assert told == pytest.approx(power(fall, churn), abs=0.0051), (fall, churn)
    # More likely than not three points are seen where as many verdicts flip as another machine
    # may flip.
    assert power(0.03, 0.005) > 0.5
    assert power(0.03, 0) == pytest.approx(binomial_tail(fewest(ROWS), N, 0.03))


@pytest.mark.parametrize(("fall", "churn"), [(0.03, 0.0), (0.03, 0.005), (0.05, 0.02)])
def test_the_simulated_power_is_the_exact_one(fall: float, churn: float) -> None:
    times = 4000
    fell, rose = flips(2, (times,), churn, fall)
    pairs = zip(fell.tolist(), rose.tolist(), strict=True)
    found = sum(p_of(f, r) * ROWS < ALPHA and 100 * (f - r) / N > POINTS for f, r in pairs)
    exact = power(fall, churn)
    spread = math.sqrt(exact * (1 - exact) / times)
    assert abs(found / times - exact) < 4 * spread


def test_the_rows_of_the_gate_are_as_many_as_are_reckoned_with() -> None:
    baseline = load_results(_ROOT / "leaderboards/gate/baseline.json")
    found = compare(baseline, baseline, parse_limits([]))
    assert (found.family, max(found.floors)) == (ROWS, N)
