"""Planted signs of a masked gradient are found, honest rows are not accused."""

import json
from math import comb

import pytest

from superdef_bench.results.masking import Report, report
from tests.support.masking import (
    ATTACKS,
    DUELS,
    EPS,
    MILD,
    SHARES,
    N,
    ask,
    first,
    honest,
    only,
    planted,
    probe,
    row,
    split,
)
from tests.support.rows import attack_of

ATTACKS |= {"square": attack_of(access="scores")}
ATTACKS |= {"extra": attack_of(counted=False), "ddn": attack_of(kind="minimal")}


def test_honest_rows_pass_every_check_in_the_declared_order() -> None:
    transfer = "transfer beats gradients"
    duels = [name for n in DUELS for name in ([n] * 3 if n == transfer else [n])]
    for stochastic, left_out in ((False, "draws"), (True, "nothing")):
        found = ask(honest(), stochastic=stochastic)
        names = [name for name in (*duels, *SHARES) if left_out not in name]
        assert [check.name for check in found.checks] == names
        assert {check.outcome for check in found.checks} == {found.verdict} == {"pass"}


@pytest.mark.parametrize("name", DUELS)
def test_a_weaker_attack_that_breaks_more_trips_its_check(name: str) -> None:
    found = ask(planted(name, 20, 2), stochastic="draws" in name)
    check = only(found)
    assert (check.name, check.n, check.bad) == (name, N, 20)
    assert check.p == pytest.approx((1 + 22 + comb(22, 2)) / 2**22)
    assert check.adjusted == check.p
    assert found.verdict == check.outcome == ("suspect" if name in MILD else "fail")


@pytest.mark.parametrize("name", DUELS)
def test_it_passes_where_the_stronger_breaks_more_and_one_side_alone_is_no_check(name: str) -> None:
    check = only(ask(planted(name, 2, 40), stochastic="draws" in name))
    assert (check.outcome, check.bad) == ("pass", 2)
    assert check.p > 0.999
    for side in planted(name, 20, 2):
        assert ask([side], stochastic=True) == Report("", ())


@pytest.mark.parametrize("name", SHARES)
def test_a_share_of_bad_images_trips_where_it_exceeds_what_is_tolerated(name: str) -> None:
    attack, bad, tolerated = SHARES[name]
    few, many = first(round(tolerated * 100), 100), first(40 if tolerated == 0.05 else 50, 100)
    assert ask([probe(attack, few == bad)]).verdict == "pass"
    found = only(ask([probe(attack, many == bad)]))
    assert (found.name, found.outcome, found.n) == (name, "fail", 100)
    terms = [comb(100, k) * tolerated**k * (1 - tolerated) ** (100 - k) for k in range(101)]
    assert found.p == pytest.approx(sum(terms[found.bad :]), rel=1e-9)
    assert f"{found.bad} of 100 images" in found.evidence


def test_the_dlr_loss_may_be_flat_where_the_label_is_not_first() -> None:
    flat = probe("dlr_gradient", ~first(8, 32))
    assert only(ask([flat])).outcome == "fail"
    wrong, right = (row("", "none", bits, eps=None) for bits in (~first(8, N), first(8, N)))
    found = only(ask([flat, wrong]))
    assert (found.outcome, found.n, found.bad) == ("pass", 24, 0)
    assert only(ask([flat, right])).bad == 8
    assert ask([flat, row("", "none", first(0), eps=None)]) == Report("", ())


def test_between_the_two_levels_a_check_is_suspect() -> None:
    for b, outcome in ((4, "pass"), (5, "suspect"), (9, "suspect"), (10, "fail")):
        found = ask(planted("one step beats many", b, 0))
        assert only(found).p == pytest.approx(0.5**b)
        assert found.verdict == outcome


def test_the_verdict_is_the_worst_outcome_and_none_without_a_check() -> None:
    fail, mild = planted("one step beats many", 20, 0), probe("margin", split(20, 0)[0])
    found = ask([*fail, mild, probe("noise", first(N))])
    assert [check.outcome for check in found.checks] == ["fail", "suspect", "pass"]
    assert found.verdict == "fail"
    assert ask([row("", "none", first(60), eps=None)]).to_json() == {"verdict": "", "checks": []}


def test_of_many_checks_a_borderline_one_passes() -> None:
    borderline = planted("one step beats many", 5, 0)
    assert only(ask(borderline)).outcome == "suspect"
    rest = [probe(name, first(N)) for name in ("ce_gradient", "dlr_gradient", "repeat", "asked")]
    found = ask([*borderline, *rest])
    assert found.checks[0].adjusted == pytest.approx(5 * 0.5**5)
    assert found.verdict == "pass"


def test_two_points_pass_however_significant() -> None:
    for ahead, outcome in ((20, "pass"), (49, "pass"), (50, "fail")):
        check = only(ask(planted("black box beats gradients", ahead, 0, 1000)))
        assert (check.adjusted <= 0.001, check.outcome) == (True, outcome)
    # Nor does it matter what the weaker one breaks, but by how much it is ahead.
    check = only(ask(planted("black box beats gradients", 300, 230, 2000)))
    assert (check.adjusted < 0.05, check.outcome) == (True, "pass")


def test_rows_of_different_length_are_compared_on_the_images_both_have() -> None:
    stronger = row("white_box", "pgd", first(20, 20))
    for right, bad in ((0, 20), (20, 0)):
        check = only(ask([row("black_box", "square", first(right, 200)), stronger]))
        assert (check.n, check.bad) == (20, bad)


def test_worst_cases_are_per_image_over_the_attacks_of_a_side() -> None:
    halves = [row("black_box", "square", first(32)), row("black_box", "fgsm", ~first(32))]
    assert only(ask([*halves, row("white_box", "pgd", first(N))])).bad == N
    together = [row("white_box", "pgd", first(32)), row("white_box", "apgd", ~first(32))]
    assert only(ask([row("black_box", "square", first(0)), *together])).bad == 0


def test_only_counted_budget_rows_at_the_last_eps_are_compared() -> None:
    strong = row("white_box", "pgd", first(N))
    names = [("black_box", "extra"), ("black_box", "ddn"), ("black_box", "worst")]
    uncounted = [row(*name, first(0)) for name in (*names, ("adaptive", "square"))]
    smaller = [row("black_box", "square", first(0), eps=eps) for eps in (2 / 255, None)]
    for weak in (*uncounted, *smaller):
        assert ask([weak, strong]) == Report("", ())
    assert ask([row("black_box", "square", first(0)), strong]).verdict == "fail"
    rows = planted("black box beats gradients", 20, 0)
    assert ask([*rows, row("white_box", "extra", first(0))]).verdict == "fail"
    assert ask([*rows, row("white_box", "apgd", first(0))]).verdict == "pass"


def test_bpda_stands_in_where_there_is_no_exact_gradient() -> None:
    weak, strong = split(20, 0)
    rows = [row("black_box", "square", weak), row("gray_box", "pgd", weak)]
    found = ask([*rows, row("bpda", "pgd", strong)])
    assert [check.outcome for check in found.checks] == ["fail", "fail"]
    assert "BPDA" in found.checks[0].evidence
    exact = ask([*rows, row("bpda", "pgd", strong), row("white_box", "pgd", weak)])
    assert [check.bad for check in exact.checks] == [0, 0, 0]
    assert "pgd with exact gradients" in exact.checks[0].evidence


@pytest.mark.parametrize("rung", ["transfer", "gray_box", "surrogate", "bpda"])
def test_a_replayed_suite_and_bpda_are_compared_attack_by_attack(rung: str) -> None:
    weak, strong = split(20, 0)
    exact = row("white_box", "pgd", strong)
    assert ask([row(rung, "fgsm", weak), exact]) == Report("", ())
    assert ask([row(rung, "fgsm", weak), row(rung, "pgd", strong), exact]).verdict == "pass"
    assert ask([row(rung, "pgd", weak), exact]).verdict == "fail"
    # Nor does an attack that only the gradient rung has weigh in.
    helped = row("white_box", "apgd", first(0))
    assert ask([row(rung, "pgd", weak), exact, helped]).verdict == "fail"


def test_random_answers_are_tolerated_of_a_defense_that_says_so() -> None:
    lucky = [probe("unbounded", first(50, 100))]
    assert ask(lucky, classes=2).verdict == "fail"
    assert ask(lucky, classes=2, stochastic=True).verdict == "pass"
    # With many classes chance explains nothing: five percent stay the bar.
    tenth = [probe("unbounded", first(20, 100))]
    many = only(ask(tenth, classes=1000, stochastic=True))
    assert many.p == only(ask(tenth, classes=1000)).p
    assert ask([probe("asked", first(50, 100))], classes=2, stochastic=True).verdict == "fail"


def test_draws_are_asked_of_stochastic_defenses_alone_and_repeats_of_all() -> None:
    draws = planted("more draws beat fewer", 20, 0)
    assert ask(draws) == Report("", ())
    assert ask(draws, stochastic=True).verdict == "suspect"
    for stochastic in (False, True):
        assert ask([probe("repeat", first(0))], stochastic=stochastic).verdict == "fail"
        assert ask([probe("repeat", first(N))], stochastic=stochastic).verdict == "pass"


def test_names_of_defenses_and_models_never_matter() -> None:
    rows = planted("transfer beats gradients", 20, 2)
    renamed = [
        r.model_copy(update={"defense": "none", "source": "jpeg", "model": "x"}) for r in rows
    ]
    assert ask(rows).verdict == "fail"
    assert ask(renamed) == ask(rows)
    assert all(word not in str(ask(renamed).to_json()) for word in ("none", "jpeg"))


def test_names_of_attacks_and_the_order_of_rows_never_matter() -> None:
    rows = honest()
    renamed = [
        r.model_copy(update={"attack": {"pgd": "zz"}.get(r.attack, r.attack)}) for r in rows[::-1]
    ]
    attacks = {**ATTACKS, "zz": ATTACKS["pgd"]}
    found = report(renamed, eps=EPS, attacks=attacks, stochastic=False, num_classes=10)
    told = [[(c.name, c.p, c.outcome) for c in each.checks] for each in (ask(rows), found)]
    assert told[0] == told[1]


def test_evidence_is_a_sentence_with_the_counts() -> None:
    duel = only(ask(planted("black box beats gradients", 14, 1)))
    assert duel.evidence == (
        "of 64 images, square breaks 14 that pgd with exact gradients leaves standing, "
        "the reverse holds for 1"
    )
    gradient = only(ask([probe("ce_gradient", first(0))])).evidence
    assert gradient == "the gradient of cross-entropy is zero or not finite on 64 of 64 images"
    several = [row("black_box", name, first(0)) for name in ("square", "fgsm")]
    worst = only(ask([*several, row("white_box", "pgd", first(N))]))
    assert worst.evidence.startswith("of 64 images, the worst of fgsm and square breaks 64 that")


def test_the_json_is_plain_and_rounded() -> None:
    found = ask(planted("transfer beats gradients", 20, 2))
    said = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert said["verdict"] == "fail"
    (check,) = said["checks"]
    assert list(check) == ["check", "outcome", "n", "p", "adjusted", "evidence"]
    assert check["p"] == check["adjusted"] == 6.05583e-05
    assert found.checks[0].p != check["p"]
    assert (check["check"], check["n"]) == ("transfer beats gradients", N)
