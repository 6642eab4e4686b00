"""Accuracy against eps, steps, queries and draws, with numbers that are known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superdef_bench.leaderboard.curves import (
    CURVES,
    draw_curves,
    fall,
    has_curves,
    over_draws,
    over_eps,
    over_queries,
    over_steps,
    panels,
)
from superdef_bench.leaderboard.plots import stamp
from superdef_bench.leaderboard.publish import files, publish, stale
from superdef_bench.results.ranking import rank
from superdef_bench.results.schema import AccuracyRow, Results
from superdef_bench.results.statistics import pack_bits, pack_counts, pack_floats, pack_integers
from tests.support.documents import example, find
from tests.support.rows import row_of

LOW, HIGH = 2 / 255, 8 / 255
JPEG = "jpeg"


def steps(*values: int) -> str:
    return pack_integers(np.array(values))


def row(right: list[bool], first: list[int]) -> dict[str, Any]:
    """Return what a row says of each image: whether it is right, and when it fell."""
    n, packed = len(right), pack_bits(np.array(right))
    return {"n": n, "correct": sum(right), "verdicts": packed, "first_steps": steps(*first)}


def typed(right: list[bool], first: list[int]) -> AccuracyRow:
    return row_of(np.array(right), first_steps=steps(*first))


def add(document: dict[str, Any], like: dict[str, Any], **columns: Any) -> None:
    document["accuracy"].append({**like, **columns})


def test_an_image_is_right_until_the_step_at_which_it_fell() -> None:
    curve = fall("a", "pgd", typed([False] * 3 + [True], [1, 5, 5, -1]), length=20)
    assert (curve.defense, curve.attack) == ("a", "pgd")
    assert curve.x == [0, 1, 5, 20]
    assert curve.y == [1, 0.75, 0.25, 0.25]


def test_what_is_broken_though_no_step_saw_it_fell_at_the_start() -> None:
    curve = fall("a", "pgd", typed([False, False, True, True], [-1, 3, 2, -1]), length=4)
    assert curve.x == [0, 3, 4]
    # The third image was fooled at step 2 and is right all the same, on another draw.
    assert curve.y == [0.75, 0.5, 0.5]
    first = fall("a", "pgd", typed([False, False, True, True], [-1, 3, 2, -1]), length=4, n=2)
    assert first.y == [0.5, 0, 0]


def test_the_curve_over_eps_is_the_share_of_larger_smallest_eps() -> None:
    document = example()
    for adaptive in document["accuracy"]:
        if adaptive["defense"] == JPEG and adaptive["rung"] == "adaptive":
            values = np.repeat([0.0, LOW, 0.5 * (LOW + HIGH), HIGH, np.inf], [2, 4, 6, 3, 9])
            adaptive["smallest_eps"] = pack_floats(values)
    results = Results.of(document)
    (curve,) = (c for c in over_eps(results, rank(results)) if c.defense == JPEG)
    assert curve.x == [0, LOW, HIGH]
    assert curve.y == [22 / 24, 18 / 24, 9 / 24]
    document["attacks"]["deepfool"]["counted"] = True
    results = Results.of(document)
    (fine,) = (c for c in over_eps(results, rank(results)) if c.defense == JPEG)
    assert len(fine.x) >= 65
    by_eps = dict(zip(fine.x, fine.y, strict=True))
    assert [by_eps[eps] for eps in (0, LOW, HIGH)] == curve.y
    assert by_eps[max(eps for eps in fine.x if eps < 0.5 * (LOW + HIGH))] == 18 / 24
    assert by_eps[min(eps for eps in fine.x if eps > 0.5 * (LOW + HIGH))] == 12 / 24


def test_steps_are_those_of_the_longest_attack_in_white_box_else_bpda() -> None:
    document = example()
    for found in document["accuracy"]:
        if found["rung"] in ("white_box", "bpda") and found["attack"] in ("pgd", "fgsm"):
            found["first_steps"] = steps(*[1] * 24)
    right, first = [True] * 12 + [False] * 12, [-1] * 12 + [0] * 4 + [2] * 8
    # In the smallest ball: what falls there is not attacked again in a larger one.
    find(document, JPEG, "bpda", "pgd", LOW).update(row(right, first))
    results = Results.of(document)
    curves = {curve.defense: curve for curve in over_steps(results, rank(results))}
    assert set(curves) == set(document["defenses"])
    assert {curve.attack for curve in curves.values()} == {"pgd"}
    assert curves[JPEG].x == [0, 2, 5]  # the attack may take 5 steps
    assert curves[JPEG].y == [20 / 24, 0.5, 0.5]
    document["attacks"]["pgd"]["counted"] = False
    results = Results.of(document)
    assert {curve.attack for curve in over_steps(results, rank(results))} == {"fgsm"}


def test_a_row_that_nothing_broke_keeps_its_line() -> None:
    document = example()
    find(document, JPEG, "bpda", "pgd", LOW).update(row([True] * 24, [-1] * 24))
    results = Results.of(document)
    (curve,) = over_steps(results, rank(results))
    assert (curve.x, curve.y) == ([0, 5], [1, 1])


def test_an_attack_that_tells_no_steps_has_no_curve() -> None:
    document = example()
    document["attacks"]["pgd"]["arguments"] = {"plugin": "autoattack"}
    for found in document["accuracy"]:
        if (found["rung"], found["attack"]) == ("white_box", "pgd"):
            found["first_steps"] = steps(*[-1] * 24)
    results = Results.of(document)
    assert has_curves(results, rank(results))
    assert over_steps(results, rank(results)) == []


def test_an_attack_that_broke_images_and_told_no_step_gives_way_to_the_next() -> None:
    document = example()
    told = [True] * 12 + [False] * 12, [-1] * 12 + [1] * 12
    find(document, JPEG, "bpda", "pgd", LOW).update(row(told[0], [-1] * 24))
    assert over_steps(Results.of(document), rank(Results.of(document))) == []
    find(document, JPEG, "bpda", "fgsm", LOW).update(row(*told))
    (curve,) = over_steps(Results.of(document), rank(Results.of(document)))
    assert (curve.attack, curve.x, curve.y) == ("fgsm", [0, 1], [1, 0.5])


def test_each_attack_is_followed_at_its_own_smallest_eps() -> None:
    document = example()
    document["attacks"]["pgd"]["eps"] = [HIGH]
    right = [True] * 12 + [False] * 12
    find(document, JPEG, "bpda", "pgd", LOW).update(row(right, [-1] * 12 + [1] * 12))
    assert over_steps(Results.of(document), rank(Results.of(document))) == []
    find(document, JPEG, "bpda", "pgd", HIGH).update(row(right, [-1] * 12 + [4] * 12))
    (curve,) = over_steps(Results.of(document), rank(Results.of(document)))
    assert curve.x == [0, 4, 5]


def test_gray_box_stands_for_no_gradient_rung() -> None:
    document = example()
    undefended = [r for r in document["accuracy"] if r["defense"] == "none"]
    kept = [r for r in undefended if r["rung"] in ("", "gray_box")]
    for found in kept:
        found["first_steps"] = steps(*[1] * found["n"])
    document["accuracy"] = [r for r in document["accuracy"] if r not in undefended] + kept
    results = Results.of(document)
    assert has_curves(results, rank(results))
    assert over_steps(results, rank(results)) == []


def test_results_without_a_counted_curve_are_published_without_a_picture(tmp_path: Path) -> None:
    document = example()
    find(document, JPEG, "bpda", "pgd", LOW).update(row([False] * 24, [1] * 24))
    document["accuracy"] = [r for r in document["accuracy"] if r["rung"] != "adaptive"]
    for facts in document["attacks"].values():
        facts["counted"] = False
    results = Results.of(document)
    assert not has_curves(results, rank(results))
    written = files(results)
    assert set(written) == {".md", ".csv", ".svg", "-pareto.svg"}
    assert "## Curves" not in written[".md"].decode()
    publish(results, tmp_path)
    assert stale(results, tmp_path) == []


def queried() -> dict[str, Any]:
    """Return a document with a black box of 1000 queries."""
    document = example()
    square = {"arguments": {"plugin": "square", "queries": 1000}, "access": "scores"}
    document["attacks"]["square"] = {**document["attacks"]["pgd"], **square}
    like = {**find(document, JPEG, "bpda", "pgd", LOW), "rung": "black_box", "attack": "square"}
    add(document, like, **row([True] * 6 + [False] * 18, [-1] * 6 + [0] * 6 + [700] * 12))
    return document


def test_queries_are_those_of_black_box() -> None:
    results = Results.of(queried())
    (curve,) = over_queries(results, rank(results))
    assert (curve.defense, curve.attack) == (JPEG, "square")
    assert curve.x == [0, 700, 1000]
    assert curve.y == [0.75, 0.25, 0.25]
    assert over_steps(results, rank(results)) == []


def test_draws_are_those_of_the_probes() -> None:
    document = queried()
    like = find(document, "random_resize_pad (native)", "white_box", "pgd", HIGH)
    for name, eot, right in (("eot_2k", 20, 2), ("eot_1", 1, 12), ("eot_k", 10, 4)):
        columns = row([True] * right + [False] * (24 - right), [0] * 24)
        shares = pack_counts(np.array([4] * right + [1] * (24 - right), dtype=np.uint8))
        add(document, like, rung="masking", attack=name, eot=eot, draws=4, shares=shares, **columns)
    add(document, like, rung="masking", attack="noise", eot=5, **row([True] * 24, [0] * 24))
    results = Results.of(document)
    (curve,) = over_draws(results, rank(results))
    assert curve.defense == "random_resize_pad (native)"
    assert curve.x == [1, 10, 20]
    expected = [(right + (24 - right) / 4) / 24 for right in (12, 4, 2)]
    assert curve.y == pytest.approx(expected)
    titles = [panel.title for panel in panels(results, rank(results))]
    assert titles == ["Adaptive worst case", "Black box", "Stochastic defenses"]


def test_the_picture_has_a_line_per_defense_and_is_reproducible() -> None:
    results = Results.of(queried())
    first, second = (draw_curves(results, rank(results)) for _ in range(2))
    assert first == second
    assert len(stamp(first)) == 64
    for name in (*results.document["defenses"], "Black box", "queries of square", "8/255"):
        assert name in first.decode()


def test_the_picture_is_written_embedded_and_compared_by_its_stamp(tmp_path: Path) -> None:
    old, new = Results.of(example()), Results.of(queried())
    assert not has_curves(old, rank(old))
    assert has_curves(new, rank(new))
    assert CURVES not in files(old)
    assert "## Curves" not in files(old)[".md"].decode()
    assert "](<example-curves.svg>)" in files(new)[".md"].decode()
    written = publish(new, tmp_path)
    assert tmp_path / "example-curves.svg" in written
    assert stale(new, tmp_path) == []
    drawn = tmp_path / "example-curves.svg"
    drawn.write_bytes(drawn.read_bytes() + b"<!-- drawn by another version -->")
    assert stale(new, tmp_path) == []
    other = new.document
    other["accuracy"][-1]["first_steps"] = steps(*[3] * 24)
    new = Results.of(other)
    assert stale(new, tmp_path) == ["example-curves.svg"]
    drawn.unlink()
    assert stale(new, tmp_path) == ["example-curves.svg"]
