"""What makes the suite of a row full, rule by rule, and what a table is called for it."""

from typing import Any

import numpy as np
import pytest

from superdef_bench.results.ranking import rank
from superdef_bench.results.suite import suite_of, suite_of_table, suites_of_rows
from tests.support.ranked import Document, attack, bits, drawn

QUICK = "quick: not a robustness claim"
Attacks = dict[str, dict[str, Any]]


def pgd(steps: int = 50, restarts: int = 5, loss: str = "ce", **more: Any) -> dict[str, Any]:
    return attack("pgd", steps=steps, restarts=restarts, loss=loss, **more)


def square(queries: int = 5000) -> dict[str, Any]:
    return attack("square", "scores", queries=queries)


def faced(
    attacks: Attacks, rungs: dict[str, str], *, n: int = 400, eot: int = 1, **facts: Any
) -> Document:
    """Return a row in gray box by `pgd`, and by each attack at the rung that it has; no gradient.

    Args:
        attacks: By name.
        rungs: By attack.
        n: Images.
        eot: Draws per gradient.
        facts: What else is known of the row; of one that draws, each cell has 5 draws.
    """
    document = Document().defense("row", 1, clean=n, gray=n, n=n)
    document.defenses["row"].update(facts)
    document.attacks.update(attacks)
    random = drawn(np.where(bits(1, n), 5, 0), 5) if facts.get("stochastic") else {}
    document.row("row", "gray_box", "pgd", bits(n, n), **random)
    for name, rung in rungs.items():
        spent = {"eot": eot} if rung in ("white_box", "bpda") else {}
        document.row("row", rung, name, bits(1, n), **random, **spent)
    return document


def label(document: Document) -> str:
    results = document.results()
    (standing,) = rank(results)
    return str(suite_of(results, standing))


def heading(document: Document) -> str:
    results = document.results()
    return suite_of_table(results, rank(results))


AUTO = {"strong": attack("autoattack")}
EXACT = {"differentiable": True}


@pytest.mark.parametrize(
    ("arguments", "rung", "facts", "expected"),
    [
        ({}, "white_box", EXACT, "full: AutoAttack"),
        ({}, "bpda", EXACT, "full: AutoAttack"),
        ({}, "bpda", {}, "full: AutoAttack"),
        ({"version": "standard"}, "bpda", {}, "full: AutoAttack"),
        ({"version": "plus", "engine": "own"}, "bpda", {}, "full: AutoAttack"),
        ({"version": "rand"}, "bpda", {}, "quick"),
        ({"version": ["standard"]}, "bpda", {}, "quick"),
        # Where there is no exact gradient, or none to be trusted, white box knows nothing.
        ({}, "white_box", {}, "quick"),
        ({}, "white_box", {**EXACT, "suspicion": "a rounding is hidden in it"}, "quick"),
        ({}, "bpda", {**EXACT, "suspicion": "a rounding is hidden in it"}, "full: AutoAttack"),
        # What an attacker saw in the defense's place is not what it does.
        ({}, "bpda", {"attack_view": True}, "quick"),
        ({}, "surrogate", EXACT, "quick"),
        ({}, "masking", EXACT, "quick"),
    ],
)
def test_the_standard_four_on_a_rung_that_knows_the_defense_are_full(
    arguments: dict[str, Any], rung: str, facts: dict[str, Any], expected: str
) -> None:
    document = faced({"strong": attack("autoattack", **arguments)}, {"strong": rung}, **facts)
    assert label(document) == expected


@pytest.mark.parametrize(
    ("attacks", "expected"),
    [
        ({}, "full: PGD + Square"),
        ({"margin": pgd(loss="dlr")}, "full: PGD + Square"),
        ({"ce": pgd(steps=49)}, "quick"),
        ({"margin": pgd(steps=49, loss="margin")}, "quick"),
        ({"ce": pgd(restarts=4)}, "quick"),
        ({"margin": pgd(restarts=4, loss="margin")}, "quick"),
        ({"ce": pgd(loss="margin")}, "quick"),
        ({"margin": pgd()}, "quick"),
        ({"margin": pgd(loss="another")}, "quick"),
        ({"square": square(4999)}, "quick"),
        ({"square": attack("boundary", "labels", queries=5000)}, "quick"),
        # Restarts from the image itself are one; attacks outside of worst cases are none.
        ({"ce": pgd(random_starts=False)}, "quick"),
        ({"ce": {**pgd(), "counted": False}}, "quick"),
        ({"square": {**square(), "kind": "minimal"}}, "quick"),
    ],
)
@pytest.mark.parametrize(
    ("rung", "facts"), [("white_box", EXACT), ("bpda", EXACT), ("bpda", {})], ids=str
)
def test_gradients_of_two_losses_and_queries_are_full(
    rung: str, facts: dict[str, Any], attacks: Attacks, expected: str
) -> None:
    every = {"ce": pgd(), "margin": pgd(loss="margin"), "square": square(), **attacks}
    rungs = {"ce": rung, "margin": rung, "square": "black_box"}
    assert label(faced(every, rungs, **facts)) == expected
    for name in rungs:
        assert label(faced(every, {k: v for k, v in rungs.items() if k != name})) == "quick"


def test_gradients_count_on_a_rung_that_knows_the_defense_and_queries_in_black_box() -> None:
    every = {"ce": pgd(), "margin": pgd(loss="margin"), "square": square()}
    rungs = {"ce": "bpda", "margin": "bpda", "square": "black_box"}
    assert label(faced(every, {**rungs, "margin": "surrogate"})) == "quick"
    assert label(faced(every, {**rungs, "square": "transfer"})) == "quick"
    assert label(faced(every, {**rungs, "ce": "white_box"})) == "quick"
    assert label(faced(every, {**rungs, "ce": "white_box"}, **EXACT)) == "full: PGD + Square"


@pytest.mark.parametrize(
    ("less", "goal", "eightbit", "expected"),
    [
        (True, "verdict", False, "full: AutoAttack"),
        (True, "strength", False, "quick"),  # our engine then leaves FAB and Square out
        (True, "verdict", True, "quick"),  # made for strength, whatever the row is for
        (False, "strength", True, "full: AutoAttack"),
        (None, "strength", False, "quick"),  # older results say the engine alone
    ],
)
def test_the_own_engine_runs_all_four_for_a_verdict_alone(
    less: bool | None, goal: str, eightbit: bool, expected: str
) -> None:
    attacks = {"strong": {**attack("autoattack", engine="own"), "less_in_strength": less}}
    document = faced(attacks, {"strong": "white_box"}, **EXACT)
    document.eightbit = eightbit
    document.rows[-1]["goal"] = goal
    assert label(document) == expected


RANDOM = {"climb": pgd(steps=100, restarts=1), "square": square(1000)}
LADDER = {"climb": "bpda", "square": "black_box"}


@pytest.mark.parametrize(
    ("attacks", "eot", "expected"),
    [
        ({}, 16, "full: EOT"),
        ({"climb": pgd(steps=100, restarts=1, loss="margin")}, 16, "full: EOT"),
        ({}, 15, "quick"),
        ({"climb": pgd(steps=99, restarts=1)}, 16, "quick"),
        ({"square": square(999)}, 16, "quick"),
        ({"climb": attack("pgd", steps=100, loss="ce")}, 16, "full: EOT"),
        ({"climb": attack("autoattack", steps=100, loss="ce")}, 16, "quick"),
    ],
)
def test_a_row_that_draws_is_full_by_many_steps_over_many_draws(
    attacks: Attacks, eot: int, expected: str
) -> None:
    every = RANDOM | attacks
    assert label(faced(every, LADDER, eot=eot, stochastic=True)) == expected


def test_a_row_that_draws_is_scored_on_fresh_draws_and_never_full_by_what_suits_others() -> None:
    document = faced(RANDOM, LADDER, eot=16, stochastic=True)
    for row in document.rows:
        row.pop("shares", None)
        row["draws"] = 1
    assert label(document) == "quick"
    assert label(faced(AUTO, {"strong": "bpda"}, eot=16, stochastic=True)) == "quick"
    fixed = {"ce": pgd(), "margin": pgd(loss="margin"), "square": square()}
    rungs = {"ce": "bpda", "margin": "bpda", "square": "black_box"}
    assert label(faced(fixed, rungs, eot=16, stochastic=True)) == "quick"
    assert label(faced(RANDOM, LADDER, eot=16)) == "quick"


def test_what_an_attack_says_of_itself_counts_before_its_arguments() -> None:
    rungs = {"ce": "bpda", "margin": "bpda", "square": "black_box"}
    said = {"steps": 50, "restarts": 5, "loss": "ce", "queries": None, "step_size": None}
    bare = attack("foolbox:LinfPGD")
    every = {"ce": bare, "margin": pgd(loss="margin"), "square": square()}
    assert label(faced(every, rungs)) == "quick"
    every["ce"] = {**bare, "settings": said}
    assert label(faced(every, rungs)) == "full: PGD + Square"
    every["ce"] = {**pgd(steps=500), "settings": {**said, "steps": 49}}
    assert label(faced(every, rungs)) == "quick"


@pytest.mark.parametrize(
    ("replayed", "expected"),
    [
        (attack("pgd", steps=1), "full: AutoAttack"),
        (square(), "full: AutoAttack"),
        (attack("noise", "none"), "quick"),
    ],
)
def test_gray_box_needs_an_attack_that_looks_at_the_classifier(
    replayed: dict[str, Any], expected: str
) -> None:
    document = faced({**AUTO, "pgd": replayed}, {"strong": "bpda"})
    assert label(document) == expected
    document.rows = [row for row in document.rows if row["rung"] != "gray_box"]
    assert label(document) == "quick"


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (256, "full: AutoAttack"),
        (255, "every attack of a full suite, on 255 images"),
        (1, "every attack of a full suite, on 1 image"),
    ],
)
def test_a_few_images_make_no_full_suite(n: int, expected: str) -> None:
    document = faced(AUTO, {"strong": "bpda"}, n=n)
    assert label(document) == expected
    assert heading(document) == ("full" if n == 256 else expected)


def test_an_attack_counts_on_all_ranked_images_and_at_the_last_eps() -> None:
    document = faced(AUTO, {"strong": "bpda"})
    document.rows[-1] |= {"eps": 2 / 255}
    assert label(document) == "quick"
    document = faced(AUTO, {})
    document.row("row", "bpda", "strong", bits(1, 399))
    assert label(document) == "quick"


def test_a_table_is_full_where_every_ranked_row_is_and_says_which_row_faced_what() -> None:
    def table(without: str = "", **facts: Any) -> Document:
        document = faced({**AUTO, **RANDOM}, {"strong": "bpda"}).defense("other", 1)
        document.defenses["other"].update({"stochastic": True, **facts})
        random = drawn(np.where(bits(1), 5, 0), 5)
        for name, rung in {"pgd": "gray_box", **LADDER}.items():
            if rung != without:
                document.row("other", rung, name, bits(1), **random, eot=16)
        return document

    def lines(document: Document) -> list[str]:
        return suites_of_rows(document.results(), rank(document.results()))

    assert heading(table()) == "full"
    both = ["suite (full: EOT): other", "suite (full: AutoAttack): row"]
    assert sorted(lines(table())) == sorted(both)
    for rung in ("gray_box", "bpda", "black_box"):
        assert heading(table(rung)) == QUICK
        assert "suite (quick): other" in lines(table(rung))
    assert heading(table("bpda", missing=["failed"])) == "full"  # it is not ranked
    assert heading(Document().defense("a", 1, missing=("failed",))) == QUICK
    assert lines(faced(AUTO, {"strong": "bpda"})) == ["suite (full: AutoAttack): every row"]
    for said_by_the_heading in (faced(AUTO, {}), faced(AUTO, {"strong": "bpda"}, n=64)):
        assert lines(said_by_the_heading) == []


def test_a_table_of_few_images_with_one_quick_row_is_quick() -> None:
    document = faced(AUTO, {"strong": "bpda"}, n=64).defense("quick", 1)
    assert heading(document) == QUICK
    document.row("quick", "gray_box", "pgd", bits(1))
    document.row("quick", "bpda", "strong", bits(1))
    assert heading(document) == "every attack of a full suite, on 64 images"
