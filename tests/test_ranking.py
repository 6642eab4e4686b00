"""Ranks by paired tests, and what keeps a row out of them."""

from typing import Any

import numpy as np
import pytest

from superdef_bench.aggregate import accuracy_row
from superdef_bench.ranking import is_full, like_for_like, rank
from superdef_bench.results import Results
from superdef_bench.statistics import Bits, pack_floats

EPS = [2 / 255, 8 / 255]
NAMES = [f"image {number}" for number in range(400)]


def bits(correct: int, n: int = 400) -> Bits:
    """Return `n` verdicts of which the first `correct` are right."""
    return np.arange(n) < correct


class Document:
    """A results document, built row by row."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.defenses: dict[str, dict[str, Any]] = {}
        self.costs: list[dict[str, Any]] = []
        self.attacks = {"pgd": attack("pgd")}

    def row(self, defense: str, rung: str, attack: str, right: Bits, **columns: Any) -> None:
        shared = {"defense": defense, "rung": rung, "attack": attack, "eps": EPS[-1]}
        self.rows.append({**accuracy_row(right, NAMES), **shared, **columns})

    def defense(
        self,
        name: str,
        adaptive: int,
        *,
        clean: int = 390,
        gray: int = 300,
        n: int = 400,
        gmac: float = 1.0,
        median_eps: float | None = None,
        missing: tuple[str, ...] = (),
    ) -> "Document":
        self.defenses[name] = {"missing": list(missing), "suspicion": ""}
        self.row(name, "", "none", bits(clean, n), eps=None)
        self.row(name, "gray_box", "worst", bits(gray, n))
        smallest = np.full(n, np.inf if median_eps is None else median_eps)
        packed = pack_floats(smallest)
        self.row(name, "adaptive", "worst", bits(adaptive, n), smallest_eps=packed)
        self.costs.append({"defense": name, "scope": "pipeline", "gmac": gmac})
        return self

    def results(self) -> Results:
        return Results(
            {
                "name": "test",
                "threat": {"norm": "linf", "eps": EPS},
                "accuracy": self.rows,
                "defenses": self.defenses,
                "cost": self.costs,
                "attacks": self.attacks,
            }
        )


def attack(plugin: str, **changes: Any) -> dict[str, Any]:
    facts = {"arguments": {"plugin": plugin}, "counted": True, "kind": "budget"}
    return {**facts, **changes}


def ranks(document: Document) -> list[tuple[int | None, str]]:
    return [(standing.rank, standing.defense) for standing in rank(document.results())]


def test_rows_share_a_rank_until_a_paired_test_tells_them_apart() -> None:
    document = Document()
    # From 200 down, 5 paired differences give p = 0.0625 and 6 give p = 0.03125.
    for name, adaptive in [("a", 200), ("b", 195), ("c", 194), ("d", 188), ("e", 100)]:
        document.defense(name, adaptive)
    assert ranks(document) == [(1, "a"), (1, "b"), (3, "c"), (4, "d"), (5, "e")]


def test_within_a_group_median_eps_clean_accuracy_and_cost_decide() -> None:
    document = Document()
    document.defense("cheap", 200, gmac=0.5, median_eps=0.02)
    document.defense("dear", 200, gmac=5.0, median_eps=0.02)
    document.defense("clean", 199, clean=399, median_eps=0.02)
    document.defense("far", 198, clean=100, median_eps=0.03)
    document.defense("beyond", 197, clean=100, median_eps=None)
    expected = ["beyond", "far", "clean", "cheap", "dear"]
    assert ranks(document) == [(1, name) for name in expected]


def test_incomplete_rows_stand_below_and_never_gain() -> None:
    document = Document().defense("slow", 399, missing=("bpda pgd: too slow",))
    document.defense("weak", 10)
    assert ranks(document) == [(1, "weak"), (None, "slow")]
    assert list(rank(document.results())[1].reasons) == ["bpda pgd: too slow"]


def test_ranks_use_the_images_that_all_ranked_rows_have() -> None:
    document = Document().defense("few", 40, n=64, clean=64, gray=64)
    document.defense("many", 63)
    first, second = rank(document.results())
    assert (first.defense, second.defense) == ("many", "few")
    assert first.adaptive is not None
    assert (first.adaptive.n, first.adaptive.accuracy) == (64, 63 / 64)


def test_the_median_eps_is_that_of_the_shared_images() -> None:
    document = Document().defense("short", 3, n=4, median_eps=0.02).defense("long", 3, n=8)
    half = pack_floats(np.array([0.01, 0.01, 0.01, np.inf, np.inf, np.inf, np.inf, np.inf]))
    document.rows[-1]["smallest_eps"] = half
    shown = {standing.defense: standing for standing in rank(document.results())}
    assert shown["long"].adaptive is not None
    assert shown["long"].adaptive.n == 4
    assert shown["long"].median_eps == 0.01
    assert [standing.defense for standing in rank(document.results())] == ["short", "long"]


def test_gaps_are_gray_minus_adaptive_and_like_for_like_per_attack() -> None:
    document = Document().defense("a", 100, gray=300)
    document.row("a", "gray_box", "pgd", bits(320))
    document.row("a", "white_box", "pgd", bits(140))
    document.row("a", "bpda", "pgd", bits(120))
    (standing,) = rank(document.results())
    assert standing.illusion == pytest.approx(0.5)
    fall = like_for_like(document.results(), "a", EPS[-1])
    assert fall is not None
    assert fall[0] == pytest.approx(0.5)
    assert fall[1] == "pgd"


@pytest.mark.parametrize(
    ("facts", "rows", "full"),
    [
        (attack("autoattack"), 400, True),
        (attack("autoattack"), 399, False),
        (attack("autoattack", counted=False), 400, False),
        (attack("pgd"), 400, False),
    ],
)
def test_a_suite_is_full_with_autoattack_on_every_ranked_image(
    facts: dict[str, Any], rows: int, full: bool
) -> None:
    document = Document().defense("a", 100)
    document.attacks["strong"] = facts
    document.row("a", "bpda", "strong", bits(100, rows))
    results = document.results()
    assert is_full(results, rank(results)) is full


@pytest.mark.parametrize(("n", "full"), [(256, True), (255, False), (1, False)])
def test_a_few_images_make_no_full_suite(n: int, full: bool) -> None:
    document = Document().defense("a", 1, clean=n, gray=n, n=n)
    document.attacks["strong"] = attack("autoattack")
    document.row("a", "bpda", "strong", bits(1, n))
    results = document.results()
    assert is_full(results, rank(results)) is full
