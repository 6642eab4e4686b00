"""Attacks in a row: who gets which images, and what is kept."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from superdef_bench.core.rng import Random
from superdef_bench.core.threats import Threat
from superdef_bench.core.types import AttackContext
from superdef_bench.engine import in_sequence
from superdef_bench.engine.sequence import Part


class Bright(nn.Module):
    """Two classes: 1 where the image is brighter than a half."""

    def forward(self, x: Tensor) -> Tensor:
        value = x.flatten(1).mean(dim=1) - 0.5
        return torch.stack([-value, value], dim=1)


X = torch.tensor([0.6, 0.2, 0.3, 0.4]).view(-1, 1, 1, 1).expand(-1, 3, 2, 2).contiguous()
Y = torch.zeros(4, dtype=torch.int64)  # the first is wrong from the start
IDS = torch.arange(4)
THREAT = Threat("linf", 0.25)


def adding(amount: float, seen: list[list[int]]) -> Part:
    def attack(
        model: nn.Module, x: Tensor, y: Tensor, threat: Threat, context: AttackContext
    ) -> Tensor:
        seen.append(context.ids.tolist())
        found = x + amount
        fooled = context.fooled(model(found), y)
        context.record(1, torch.arange(len(x)), fooled)
        return found

    return attack


def start() -> AttackContext:
    return AttackContext.start(IDS, Random(0, "test", IDS))


def test_each_part_gets_what_still_stands_and_steps_add_up() -> None:
    first, second, third = list[list[int]](), list[list[int]](), list[list[int]]()
    parts = {
        "little": (adding(0.15, first), 10),
        "more": (adding(0.22, second), 5),
        "as much": (adding(0.25, third), 1),
    }
    context = start()
    found = list(in_sequence(parts, Bright(), X, Y, THREAT, context))
    assert [name for name, _ in found] == ["little", "more", "as much"]
    assert (first, second, third) == ([[0, 1, 2, 3]], [[1, 2]], [[1]])
    assert context.first_step.tolist() == [1, -1, 11, 1]
    added = [(images - X).mean(dim=(1, 2, 3)).tolist() for _, images in found]
    assert torch.allclose(torch.tensor(added[0]), torch.full((4,), 0.15))
    assert torch.allclose(torch.tensor(added[2]), torch.tensor([0.15, 0.25, 0.22, 0.15]))


def test_a_part_that_only_says_so_fools_nobody() -> None:
    def liar(
        model: nn.Module, x: Tensor, y: Tensor, threat: Threat, context: AttackContext
    ) -> Tensor:
        context.record(0, torch.arange(len(x)), torch.ones(len(x), dtype=torch.bool))
        return x.clone()

    seen: list[list[int]] = []
    list(
        in_sequence(
            {"liar": (liar, 0), "next": (adding(0, seen), 0)}, Bright(), X, Y, THREAT, start()
        )
    )
    assert seen == [[1, 2, 3]]


def test_for_strength_every_part_gets_every_image_and_the_larger_margin_stays() -> None:
    seen: list[list[int]] = []
    parts = {"more": (adding(0.2, seen), 1), "less": (adding(0.11, seen), 1)}
    context = replace(start(), goal="strength")
    *_, (_, found) = in_sequence(parts, Bright(), X, Y, THREAT, context)
    assert seen == [[0, 1, 2, 3]] * 2
    assert torch.allclose(found - X, torch.full_like(X, 0.2))
