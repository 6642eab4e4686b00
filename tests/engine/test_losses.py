"""The losses of the engine by hand, and the family of sign attacks against each other."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from superdef_bench import AttackContext, Random, Threat, load_attack
from superdef_bench.core.threats import Goal
from superdef_bench.core.types import fooled
from superdef_bench.engine import cross_entropy, dlr, margin
from superdef_bench.testing import toy_images, toy_model

LOGITS = torch.tensor([[[5.0, 1.0, 3.0, 2.0], [0.0, 4.0, 1.0, 2.0]]])  # (1, 2, 4)
Y = torch.tensor([0, 3])
TARGET = torch.tensor([2, 0])


def run(
    name: str, goal: Goal = "strength", model: nn.Module | None = None, **arguments: Any
) -> Tensor:
    x, ids = toy_images(8)
    classifier = model or toy_model()
    y = toy_model()(x).argmax(dim=1)
    context = AttackContext.start(ids, Random(0, "test", ids), goal=goal)
    return load_attack(name, **arguments)(classifier, x, y, Threat("linf", 0.03), context)


def test_the_margin_is_the_best_other_logit_minus_that_of_the_label() -> None:
    assert margin(LOGITS, Y, None).tolist() == [[3 - 5, 4 - 2]]
    assert margin(LOGITS, Y, None, topk=2).tolist() == [[2 - 5, 1 - 2]]
    assert margin(LOGITS, Y, TARGET).tolist() == [[3 - 5, 0 - 4]]
    assert margin(LOGITS, Y, TARGET, topk=2).tolist() == [[3 - 2, 0 - 2]]


def test_the_sign_of_the_margin_says_who_is_fooled() -> None:
    logits = torch.randn(1, 200, 6, generator=torch.Generator().manual_seed(0))
    y, target = torch.arange(200) % 6, (torch.arange(200) + 2) % 6
    for wanted in (None, target):
        for topk in (1, 2, 5):
            expected = fooled(logits, y, target=wanted, topk=topk)
            assert torch.equal(margin(logits, y, wanted, topk=topk) > 0, expected)
            assert 0 < int(expected.sum()) < 200


def test_dlr_is_the_margin_over_the_spread_and_does_not_change_with_scale() -> None:
    torch.testing.assert_close(dlr(LOGITS, Y, None), torch.tensor([[-2 / 3, 2 / 3]]))
    expected = torch.tensor([[(3 - 5) / (5 - 1.5), (0 - 2) / (4 - 0.5)]])
    torch.testing.assert_close(dlr(LOGITS, Y, TARGET), expected)
    torch.testing.assert_close(dlr(100 * LOGITS - 7, Y, TARGET), expected)


def test_scaled_cross_entropy_is_that_of_smaller_logits() -> None:
    assert torch.equal(
        cross_entropy(100 * LOGITS, Y, None, scale=100), cross_entropy(LOGITS, Y, None)
    )
    assert bool((cross_entropy(LOGITS, Y, TARGET) < 0).all())


class Loud(nn.Module):
    """Logits so large that the cross-entropy has no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = toy_model()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = 1e4 * self.inner(x)
        return logits


@pytest.mark.parametrize("settings", [{"scale": 1e4}, {"loss": "margin"}, {"loss": "dlr"}])
def test_what_hides_behind_large_logits_is_found_by_the_other_losses(settings: Any) -> None:
    x, _ = toy_images(8)
    y = toy_model()(x).argmax(dim=1)

    def left(**arguments: Any) -> int:
        found = run("pgd", model=Loud(), random_starts=False, **arguments)
        return int((Loud()(found).argmax(dim=1) == y).sum())

    assert left(**settings) < left()


def test_fgsm_of_one_step_is_bim_of_one_step() -> None:
    assert torch.equal(run("fgsm"), run("bim", steps=1))


def test_mi_fgsm_without_momentum_is_bim() -> None:
    assert torch.equal(run("mi_fgsm", decay=0.0), run("bim"))
    assert not torch.equal(run("mi_fgsm"), run("bim"))


def test_input_diversity_that_never_happens_changes_nothing() -> None:
    assert torch.equal(run("di2_fgsm", probability=0.0), run("bim"))
    assert torch.equal(run("mdi2_fgsm", probability=0.0), run("mi_fgsm"))
    assert torch.equal(run("di2_fgsm", ratio=1.0), run("bim"))
    assert not torch.equal(run("di2_fgsm"), run("bim"))


def test_each_image_tosses_its_own_coin_and_draws_its_own_size() -> None:
    attack: Any = load_attack("di2_fgsm", ratio=0.5)
    ids = torch.arange(64)
    shown = attack.diversify(torch.ones(64, 1, 32, 32), Random(0, "test", ids))
    rows = (shown.amax(dim=3) > 0).sum(dim=2)[:, 0]
    assert 20 < int((rows < 32).sum()) < 44
    assert int(rows.min()) >= 16
    assert len(set(rows.tolist())) > 8
    alone = attack.diversify(torch.ones(1, 1, 32, 32), Random(0, "test", ids[5:6]))
    assert torch.equal(alone[0], shown[5])
    places = (shown.amax(dim=3) > 0).int().argmax(dim=2)[:, 0]
    assert len(set(places.tolist())) > 4


def test_a_shrunk_image_is_its_nearest_neighbours() -> None:
    attack: Any = load_attack("di2_fgsm", ratio=0.5, probability=1.0)
    x = torch.arange(16.0).view(1, 1, 1, 16).expand(1, 1, 16, 16) + 1
    for draw in range(20):
        (shown,) = attack.diversify(x, Random(draw, "test", torch.tensor([3])))
        row = shown[0, shown[0].amax(dim=1).argmax()]
        inside = row[row > 0]
        source = (torch.arange(len(inside)) + 0.5) * 16 / len(inside) - 0.5
        assert float((inside - 1 - source).abs().max()) <= 0.5001


def test_targeted_attacks_reach_their_target_and_top_k_asks_for_more() -> None:
    x, ids = toy_images(8)
    model = toy_model()
    y = model(x).argmax(dim=1)
    target = model(x).argsort(dim=1, descending=True)[:, 1]
    for name in ("pgd", "mi_fgsm", "mdi2_fgsm"):
        context = AttackContext.start(ids, Random(0, "test", ids), target=target)
        found = load_attack(name)(model, x, y, Threat("linf", 0.1), context)
        assert int((model(found).argmax(dim=1) == target).sum()) >= 7
    ranks = []
    for topk in (1, 5):
        context = AttackContext.start(ids, Random(0, "test", ids), topk=topk)
        found = load_attack("pgd", loss="margin")(model, x, y, Threat("linf", 0.1), context)
        logits = model(found)
        ranks.append((logits > logits.gather(1, y[:, None])).sum(dim=1).float().mean())
    assert ranks[1] > ranks[0]
