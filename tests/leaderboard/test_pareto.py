"""Accuracy against cost: frontiers, and pictures of odd results."""

import itertools
import random
import re
from typing import Any

import pytest

from superdef_bench.leaderboard.pareto import PARETO, Point, frontier, has_pareto, labels, panels
from superdef_bench.leaderboard.pareto import _Scale as Scale
from superdef_bench.leaderboard.plots import stamp
from superdef_bench.leaderboard.publish import files
from superdef_bench.results.ranking import rank
from superdef_bench.results.schema import Results
from tests.support.documents import example


def beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] <= other[0] and one[1] >= other[1] and one != other


def test_a_frontier_holds_what_nothing_beats_and_nothing_else() -> None:
    numbers = random.Random(0)
    for _ in range(200):
        cloud = [(numbers.randrange(6), numbers.randrange(6)) for _ in range(numbers.randrange(12))]
        expected = {p for p in cloud if not any(beats(other, p) for other in cloud)}
        found = frontier(cloud)
        assert set(found) == expected
        assert found == sorted(found)
        assert [y for _, y in found] == sorted(y for _, y in found)


def drawn(document: dict[str, Any]) -> str:
    return files(Results.of(document))[PARETO].decode()


def test_the_picture_shows_both_costs_and_every_row_and_is_reproducible() -> None:
    first = drawn(example())
    assert first == drawn(example())
    assert len(stamp(first.encode())) == 64
    for words in ("latency of the pipeline", "GMAC of the pipeline", "gray box, and its frontier"):
        assert words in first
    for name in example()["defenses"]:
        assert first.count(f">{name}<") == 2
    assert "<svg" in first


def test_a_changed_cost_changes_the_stamp_and_a_new_date_does_not() -> None:
    before = stamp(drawn(example()).encode())
    document = example()
    document["provenance"]["seconds"] = 12345
    assert stamp(drawn(document).encode()) == before
    document["cost"][1]["latency_ms"]["p50"] = 99.0
    assert stamp(drawn(document).encode()) != before


def test_results_without_latency_have_the_panel_of_gmac_alone() -> None:
    document = example()
    for row in document["cost"]:
        del row["latency_ms"]
    assert "latency" not in drawn(document)
    page = files(Results.of(document))[".md"].decode()
    assert "own ms" not in page
    assert f"(<example{PARETO}>)" in page
    document["cost"] = []
    assert not has_pareto(Results.of(document), rank(Results.of(document)))
    written = files(Results.of(document))
    assert PARETO not in written
    assert PARETO not in written[".md"].decode()


def test_results_older_than_operations_keep_their_table() -> None:
    document = example()
    for row in document["cost"]:
        for name in ("ops", "bytes", "bytes_fused", "memory", "latency_ms", "throughput"):
            del row[name]
    page = files(Results.of(document))[".md"].decode()
    head = "| defense | own parameters | own GMAC | pipeline parameters | pipeline GMAC |"
    assert head in page


@pytest.mark.parametrize("gmac", [0.0, 1e-6, 1e6])
def test_no_work_and_one_point_are_drawn(gmac: float) -> None:
    document = example()
    for row in document["cost"]:
        row["gmac"] = gmac if row["defense"] == "none" else row["gmac"]
    assert drawn(document).count(">none<") == 2
    alone = example()
    alone["cost"] = [row for row in alone["cost"] if row["defense"] == "none"]
    for row in alone["cost"]:
        row["gmac"] = gmac
    shown = panels(Results.of(alone), rank(Results.of(alone)))
    assert [[point.x for point in panel.points] for panel in shown] == [[1.25], [gmac]]
    assert drawn(alone).count(">none<") == 2


def test_names_stay_names() -> None:
    document = example()
    evil = "<script>alert(1)</script> $x^2$ & co"
    for rows in (document["accuracy"], document["cost"]):
        for row in rows:
            row["defense"] = evil if row["defense"] == "jpeg" else row["defense"]
    document["defenses"][evil] = document["defenses"].pop("jpeg")
    picture = drawn(document)
    assert "<script" not in picture
    assert "$x^2$ &amp; co" in picture
    assert "&lt;script&gt;" in files(Results.of(document))[".md"].decode()


def test_labels_of_points_that_lie_close_do_not_overlap() -> None:
    numbers = random.Random(1)
    points = [
        Point(
            f"defense_{n}", numbers.choice([1.0, 1.1, 5.0, 30.0]), 0.6, numbers.choice([0.0, 0.1])
        )
        for n in range(14)
    ]
    placed = labels(points, Scale.of([point.x for point in points]))
    assert {label.text for label in placed} == {point.defense for point in points}
    for one, other in itertools.combinations(placed, 2):
        across = min(one.box[2], other.box[2]) - max(one.box[0], other.box[0])
        along = min(one.box[3], other.box[3]) - max(one.box[1], other.box[1])
        assert across <= 0 or along <= 0, (one, other)


@pytest.mark.parametrize(
    "values", [[0.0], [5.0], [0.0, 3.0], [0.01, 20.0], [2.0, 2.1], [0.0, 1e-6, 1e6]]
)
def test_an_axis_holds_its_points_in_order(values: list[float]) -> None:
    scale = Scale.of(values)
    low, high = scale.limits
    places = [scale.fraction(value) for value in values]
    assert all(0 < place < 1 for place in places)
    assert places == sorted(places)
    assert low < min(values) <= max(values) < high
    if scale.logarithmic:
        assert all(low <= tick <= high for tick in scale.ticks)
        assert len(scale.ticks) >= 1


def test_the_page_shows_times_and_their_ratio_to_none() -> None:
    page = files(Results.of(example()))[".md"].decode()
    (line,) = re.findall(r"^\| jpeg \| 0\.31 \|.*$", page, re.MULTILINE)
    assert line == "| jpeg | 0.31 | 1.58 | 1.74 | 2.21 | 1.26 | 0.6 |"


def test_effort_says_seconds_where_rows_have_them() -> None:
    document = example()
    before = files(Results.of(document))[".md"].decode()
    assert "seconds per image" not in before
    for row in document["accuracy"]:
        row["seconds"] = 0.25 * row["n"]
    page = files(Results.of(document))[".md"].decode()
    assert "Forwards / backwards / seconds per image:" in page
    assert " / 0.25 |" in page
