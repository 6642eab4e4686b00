"""What the student is taught: the teacher's answers, on clean inputs and on others."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from superdef_bench import ConfigError, DataError
from superdef_bench.nn import RCAN, SuperDef, jpeg_round_trip
from superdef_bench.testing import toy_model
from superdef_bench.training import Distillation, Queries
from superdef_bench.training.distillation import (
    RememberedAnswers,
    affinity,
    affinity_loss,
    feature_maps,
    tapped,
)
from superdef_bench.training.photographs import Photographs, shrink

pytestmark = pytest.mark.ci


def asked(*kinds: str, **changed: Any) -> Queries:
    settings: dict[str, Any] = {
        "noise": 0.05,
        "eps": 8 / 255,
        "attack_steps": 3,
        "classifier": toy_model().eval().requires_grad_(False),
        "seed": 0,
    }
    return Queries(kinds=kinds, **{**settings, **changed})


def patches(count: int = 6, side: int = 12) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.rand(count, 3, side, side, generator=generator),
        torch.rand(count, 3, 2 * side, 2 * side, generator=generator),
    )


@pytest.fixture
def teacher() -> nn.Module:
    torch.manual_seed(0)
    return RCAN(groups=2, blocks=1, features=16).eval().requires_grad_(False)


@pytest.fixture
def student() -> nn.Module:
    torch.manual_seed(1)
    network = SuperDef(layers=3, features=8)
    nn.init.normal_(network.tail.weight, std=0.05)
    return network


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_the_loss_is_the_weighted_sum_of_both_errors(
    teacher: nn.Module, student: nn.Module, alpha: float
) -> None:
    small, large = patches()
    student.requires_grad_(False)
    out, answer = student(small), teacher(small)
    truth = (out - large).abs().mean()
    copy = (out - answer).abs().mean()
    found = Distillation(teacher, student, alpha, asked("clean"))(student, 0, small, large)
    assert float(found) == pytest.approx(float((1 - alpha) * truth + alpha * copy), rel=1e-5)
    given = Distillation(teacher, student, alpha, asked("clean"))(student, 0, small, large, answer)
    assert torch.equal(given, found)


def test_the_loss_and_its_gradient_change_with_the_teachers_weights(
    teacher: nn.Module, student: nn.Module
) -> None:
    small, large = patches()

    def slope(alpha: float) -> Tensor:
        student.zero_grad()
        Distillation(teacher, student, alpha, asked("clean"))(student, 0, small, large).backward()
        gradient = student.tail.weight.grad  # type: ignore[union-attr]  # SuperDef has it
        assert isinstance(gradient, Tensor)
        return gradient.clone()

    before = [slope(alpha) for alpha in (0.0, 0.5)]
    with torch.no_grad():
        teacher.tail.weight.mul_(-1)  # type: ignore[union-attr, operator]  # RCAN has it
    after = [slope(alpha) for alpha in (0.0, 0.5)]
    assert torch.equal(before[0], after[0])
    assert not torch.allclose(before[1], after[1])
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_where_an_input_was_changed_the_teacher_alone_counts(
    teacher: nn.Module, student: nn.Module
) -> None:
    student.requires_grad_(False)
    small, large = patches()
    loss = Distillation(teacher, student, 0.25, asked("clean", "noise"))
    changed = asked("clean", "noise").change(small, 5)
    assert torch.equal(changed[0::2], small[0::2])
    assert not torch.equal(changed[1::2], small[1::2])
    out, answer = student(changed), teacher(changed)
    clean = 0.75 * (out - large)[0::2].abs() + 0.25 * (out - answer)[0::2].abs()
    noisy = (out - answer)[1::2].abs()
    expected = (clean.sum() + noisy.sum()) / out.numel()
    assert float(loss(student, 5, small, large)) == pytest.approx(float(expected), rel=1e-5)
    large[1::2] = 0.0
    assert float(loss(student, 5, small, large)) == pytest.approx(float(expected), rel=1e-5)


def test_every_query_has_its_turn_however_small_the_batch() -> None:
    queries = asked("clean", "noise", "jpeg", "adversarial")
    small, _ = patches(count=3, side=16)
    clean = [queries.clean(3, step).tolist() for step in range(4)]
    assert [row for rows in clean for row in rows].count(True) == 3
    for step in range(4):
        changed = queries.change(small, step)
        same = [torch.equal(a, b) for a, b in zip(changed, small, strict=True)]
        assert same == clean[step]


def test_noise_has_its_size_and_belongs_to_the_step() -> None:
    grey = torch.full((8, 3, 32, 32), 0.5)
    queries = asked("noise", noise=0.05)
    first = queries.change(grey, 0)
    assert float((first - grey).std()) == pytest.approx(0.05, rel=0.05)
    assert torch.equal(first, queries.change(grey, 0))
    assert not torch.equal(first, queries.change(grey, 1))
    assert not torch.equal(first, asked("noise", noise=0.05, seed=1).change(grey, 0))
    assert not torch.equal(first[0], first[1])


def test_compressed_patches_are_those_of_the_codec() -> None:
    small, _ = patches(side=16)
    changed = asked("jpeg").change(small, 3)
    candidates = [jpeg_round_trip(small, quality) for quality in range(30, 91)]
    assert any(torch.equal(changed, candidate) for candidate in candidates)


def test_adversarial_patches_stay_in_the_ball_and_change_the_classifiers_mind() -> None:
    small, _ = patches(side=32)
    queries = asked("adversarial", eps=0.1)
    changed = queries.change(small, 0)
    assert float((changed - small).abs().max()) <= 0.1 + 1e-6
    assert changed.min() >= 0
    assert changed.max() <= 1
    classifier = queries.classifier
    assert classifier is not None
    moved = classifier(changed).argmax(1) != classifier(small).argmax(1)
    assert int(moved.sum()) >= 4
    assert all(p.grad is None for p in classifier.parameters())


def test_queries_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown query 'nose'"):
        asked("clean", "nose")
    with pytest.raises(ConfigError, match="stands twice in clean,clean"):
        asked("clean", "clean")
    with pytest.raises(ConfigError, match="there is no query"):
        asked()
    with pytest.raises(ConfigError, match="need a classifier"):
        asked("adversarial", classifier=None)
    with pytest.raises(ConfigError, match="above 0"):
        asked("noise", noise=0.0)
    small, _ = patches(side=4)
    fixed = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))
    with pytest.raises(ConfigError, match="cannot take patches of 4 pixels"):
        asked("adversarial", classifier=fixed).change(small, 0)


def photographs() -> Photographs:
    generator = torch.Generator().manual_seed(0)
    large = [
        torch.randint(0, 256, (3, 64, 48), dtype=torch.uint8, generator=generator) for _ in range(3)
    ]
    return Photographs(
        "noise", "0" * 64, ["a", "b", "c"], large, [shrink(image, 2) for image in large], 2
    )


class Silent(nn.Module):
    """A teacher that must not be asked."""

    def __init__(self, teacher: nn.Module) -> None:
        super().__init__()
        self.teacher = teacher

    def state_dict(self, *arguments: Any, **keywords: Any) -> Any:
        return self.teacher.state_dict(*arguments, **keywords)

    def forward(self, x: Tensor) -> Tensor:
        raise AssertionError("it was asked again")


def test_remembered_answers_are_the_teachers_and_are_computed_once(
    teacher: nn.Module, tmp_path: Path
) -> None:
    def remember(expert: nn.Module, seed: int = 0) -> RememberedAnswers:
        return RememberedAnswers(
            expert, photographs(), count=70, patch=8, batch_size=5, seed=seed, folder=tmp_path
        )

    small, large, answer = remember(teacher).draw(3)
    assert small.shape == (5, 3, 8, 8)
    assert large.shape == (5, 3, 16, 16)
    assert torch.allclose(answer, teacher(small), atol=1e-3)
    again = remember(Silent(teacher)).draw(3)
    assert all(map(torch.equal, again, (small, large, answer)))
    assert not torch.equal(remember(Silent(teacher)).draw(4)[0], small)
    with pytest.raises(AssertionError, match="asked again"):
        remember(Silent(teacher), seed=1)
    with torch.no_grad():
        teacher.head.weight.add_(0.1)  # type: ignore[union-attr, operator]  # RCAN has it
    with pytest.raises(AssertionError, match="asked again"):
        remember(Silent(teacher))


def test_damaged_answers_are_refused(teacher: nn.Module, tmp_path: Path) -> None:
    def remember() -> RememberedAnswers:
        return RememberedAnswers(
            teacher, photographs(), count=3, patch=8, batch_size=2, seed=0, folder=tmp_path
        )

    remember()
    next(tmp_path.glob("answers-*")).write_bytes(b"no tensors")
    with pytest.raises(DataError, match="are damaged"):
        remember()


def test_affinity_is_the_cosine_of_every_two_places() -> None:
    features = torch.tensor([[[3.0, 0.0]], [[4.0, 2.0]]])[None]  # (1, 2, 1, 2)
    expected = torch.tensor([[1.0, 0.8], [0.8, 1.0]])
    assert torch.allclose(affinity(features)[0], expected)
    assert torch.allclose(affinity(5 * features), affinity(features))
    other = torch.tensor([[[1.0, 1.0]]])[None]  # one channel: all places agree
    assert float(affinity_loss([features], [other])) == pytest.approx(0.4 / 4 / 255)


def test_the_feature_term_reaches_the_student_at_three_depths(
    teacher: nn.Module, student: nn.Module
) -> None:
    small, large = patches()
    with feature_maps(student) as mine, feature_maps(teacher) as theirs:
        student(small)
        teacher(small)
    assert [m.shape[0] for m in (*mine, *theirs)] == [6] * 6
    assert [layer is student.tail for layer in tapped(student)] == [False, False, True]
    assert all(m.min().item() >= 0 for m in mine[1:])
    plain = Distillation(teacher, student, 0.5, asked("clean"))(student, 0, small, large)
    both = Distillation(teacher, student, 0.5, asked("clean"), 10.0)(student, 0, small, large)
    expected = plain + 10 * affinity_loss(mine, theirs)
    assert both.item() == pytest.approx(expected.item(), rel=1e-5)
    with pytest.raises(ConfigError, match="has no feature maps"):
        tapped(nn.Identity())


def test_weights_out_of_range_are_refused(teacher: nn.Module, student: nn.Module) -> None:
    with pytest.raises(ConfigError, match="alpha is"):
        Distillation(teacher, student, 1.5, asked("clean"))
    with pytest.raises(ConfigError, match="affinity is"):
        Distillation(teacher, student, 0.5, asked("clean"), -1.0)
