"""Like is compared with like: rung by rung, source by source, the same attacks on both sides."""

import numpy as np
import pytest

from superdef_bench.results.facts import Attack
from superdef_bench.results.masking import Report, report
from superdef_bench.results.schema import AccuracyRow
from tests.support.masking import (
    ATTACKS,
    EPS,
    N,
    ask,
    first,
    only,
    planted,
    probe,
    row,
    split,
)
from tests.support.rows import attack_of

TRANSFER = "transfer beats gradients"
REPLAYS = [("gray_box", ""), ("transfer", "twin"), ("surrogate", "rcan"), ("surrogate", "edsr")]


@pytest.mark.parametrize("lucky", REPLAYS)
def test_every_rung_and_source_is_a_finding_of_its_own(lucky: tuple[str, str]) -> None:
    weak, strong = split(20, 2)
    rows = [
        row(rung, "pgd", weak if (rung, source) == lucky else first(N), source=source)
        for rung, source in REPLAYS
    ]
    found = ask([*rows, row("white_box", "pgd", strong)])
    assert [check.name for check in found.checks] == [TRANSFER] * 4
    outcomes = ["fail" if replay == lucky else "pass" for replay in REPLAYS]
    assert [check.outcome for check in found.checks] == outcomes
    (check,) = (check for check in found.checks if check.outcome == "fail")
    # Holm's correction is over all of them.
    assert check.bad == 20
    assert check.adjusted == pytest.approx(4 * check.p)


def test_of_many_replays_together_none_is_lucky() -> None:
    # Each breaks two images that nothing else breaks: eight of 64 if they were one attacker.
    images = np.arange(N)
    rows = [
        row(rung, "pgd", images // 2 != place, source=source)
        for place, (rung, source) in enumerate(REPLAYS)
    ]
    found = ask([*rows, row("white_box", "pgd", first(N))])
    assert [(check.bad, check.outcome) for check in found.checks] == [(2, "pass")] * 4


def test_a_source_is_compared_on_the_attacks_that_were_made_on_it() -> None:
    weak, strong = split(20, 0)
    rows = [
        row("gray_box", "pgd", weak),
        row("gray_box", "fgsm", weak),
        row("surrogate", "fgsm", weak, source="rcan"),
        row("white_box", "pgd", first(0)),
        row("white_box", "fgsm", strong),
    ]
    gray, surrogate = ask(rows).checks
    assert (gray.bad, gray.outcome) == (0, "pass")
    assert "the worst of fgsm and pgd made elsewhere breaks 0 that" in gray.evidence
    assert (surrogate.bad, surrogate.outcome) == (20, "fail")
    assert "fgsm made elsewhere breaks 20 that fgsm with exact gradients" in surrogate.evidence


@pytest.mark.parametrize("rung", ["transfer", "gray_box", "surrogate"])
def test_the_stronger_rung_is_the_first_that_shares_an_attack(rung: str) -> None:
    weak, strong = split(20, 0)
    rows = [row(rung, "pgd", weak), row("bpda", "pgd", strong)]
    alone = ask([*rows, row("white_box", "apgd", first(0))])
    assert (only(alone).outcome, only(alone).bad) == ("fail", 20)
    assert "pgd with BPDA gradients" in only(alone).evidence
    shared = ask([*rows, row("white_box", "pgd", weak)])
    assert [check.bad for check in shared.checks] == [0, 0]
    assert "pgd with exact gradients" in shared.checks[0].evidence


def test_the_black_box_needs_no_attack_in_common_and_takes_white_box_first() -> None:
    weak, strong = split(20, 0)
    rows = [row("black_box", "square", weak), row("bpda", "pgd", strong)]
    assert only(ask(rows)).outcome == "fail"
    assert only(ask([*rows, row("white_box", "apgd", weak)])).bad == 0


def everything(*rows: AccuracyRow, **attacks: Attack) -> Report:
    known = {**ATTACKS, **attacks}
    return report(rows, eps=EPS, attacks=known, stochastic=False, num_classes=10)


def test_autoattack_takes_no_part_whatever_it_is_called() -> None:
    weak, strong = split(20, 0)
    mine = attack_of(arguments={"plugin": "autoattack"})
    plain = attack_of(arguments={"plugin": "pgd"})
    for rung, attack in (("black_box", "square"), ("gray_box", "mine")):
        rows = row(rung, attack, weak), row("white_box", "mine", strong)
        assert everything(*rows, mine=mine) == Report("", ())
        assert everything(*rows, mine=plain).verdict == "fail"
    # Neither does it help the stronger side, nor keep BPDA from standing in.
    rows = row("black_box", "square", weak), row("white_box", "mine", first(0))
    assert everything(*rows, row("white_box", "pgd", strong), mine=mine).verdict == "fail"
    instead = only(everything(*rows, row("bpda", "pgd", strong), mine=mine))
    assert (instead.outcome, "BPDA" in instead.evidence) == ("fail", True)


@pytest.mark.parametrize(
    ("lead", "outcome"), [(0, "suspect"), (3, "suspect"), (4, "fail"), (20, "fail")]
)
def test_a_black_box_that_many_steps_keep_up_with_is_suspect_at_most(
    lead: int, outcome: str
) -> None:
    rows = planted("black box beats gradients", 20, 0)
    assert only(ask(rows)).outcome == "fail"
    # Five points of 64 images are more than three of them.
    many = probe("many_steps", ~first(20 - lead))
    assert only(ask([*rows, many])).outcome == outcome
    # What many steps break beside is in their favour.
    assert only(ask([*rows, probe("many_steps", ~first(20 - lead) & first(40))])).outcome == (
        "suspect"
    )


def test_many_steps_are_compared_on_the_images_they_have() -> None:
    rows = planted("black box beats gradients", 20, 0)
    for right, outcome in ((~first(20, 32), "suspect"), (first(32, 32), "fail")):
        assert only(ask([*rows, probe("many_steps", right)])).outcome == outcome
    # Of the first ten images, which both break, nothing is beaten.
    assert only(ask([*rows, probe("many_steps", first(0, 10))])).outcome == "suspect"


def test_many_steps_excuse_no_transfer_and_no_black_box_that_is_ahead_of_nothing() -> None:
    many = probe("many_steps", first(0))
    assert only(ask([*planted(TRANSFER, 20, 0), many])).outcome == "fail"
    assert only(ask([*planted("BPDA beats exact gradients", 20, 0), many])).outcome == "fail"
    assert only(ask([*planted("black box beats gradients", 2, 20), many])).outcome == "pass"
