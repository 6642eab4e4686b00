"""Threats, contexts and tasks."""

import pytest
import torch

from superdef_bench.core.errors import DataError
from superdef_bench.core.rng import Random
from superdef_bench.core.threats import Rung, Threat
from superdef_bench.core.types import AttackContext, distance
from superdef_bench.testing import toy_task


def context(count: int, **settings: object) -> AttackContext:
    ids = torch.arange(count)
    return AttackContext.start(ids, Random(0, "test", ids), **settings)


def test_fooled_agrees_with_argmax_even_on_ties() -> None:
    logits = torch.tensor([[1.0, 2.0, 2.0], [2.0, 2.0, 1.0], [0.0, 0.0, 0.0], [3.0, 1.0, 2.0]])
    for label in range(3):
        y = torch.full((4,), label)
        expected = logits.argmax(dim=1) != y
        assert torch.equal(context(4).fooled(logits[None], y)[0], expected)


def test_fooled_counts_targets_and_top_k() -> None:
    logits = torch.tensor([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    y = torch.tensor([0, 0])
    assert context(2, topk=2).fooled(logits, y).tolist() == [False, True]
    aimed = context(2, target=torch.tensor([1, 2]))
    assert aimed.fooled(logits, y).tolist() == [False, True]


def test_record_keeps_the_first_step_of_packed_images() -> None:
    whole = context(4)
    packed = whole.take(torch.tensor([3, 1]))
    packed.record(2, torch.tensor([0]), torch.tensor([True]))
    packed.record(5, torch.tensor([0, 1]), torch.tensor([True, True]))
    assert whole.first_step.tolist() == [-1, 5, -1, 2]


def test_distance_is_measured_in_float64() -> None:
    x = torch.zeros(2, 1, 2, 2)
    moved = x.clone()
    moved[0] = 0.3
    moved[1, 0, 0, 0] = 0.4
    assert distance(x, moved, "linf").tolist() == pytest.approx([0.3, 0.4], abs=1e-7)
    assert distance(x, moved, "l2").tolist() == pytest.approx([0.6, 0.4], abs=1e-7)
    assert distance(x, moved, "l2").dtype == torch.float64


def test_limit_leaves_room_for_float32_only() -> None:
    assert Threat("linf", 8 / 255).limit == pytest.approx(8 / 255, abs=2e-6)
    assert Threat("l2", None).limit == float("inf")


def test_goal_follows_the_rung() -> None:
    assert Rung.GRAY_BOX.goal == "strength"
    assert Rung.WHITE_BOX.goal == Rung.BPDA.goal == "verdict"


def test_a_task_made_by_hand_has_no_artefacts() -> None:
    with pytest.raises(DataError, match="no denoiser for task toy"):
        toy_task().load("denoiser")
