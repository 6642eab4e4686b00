"""A classifier whose defense only some images go through."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from superdef_bench.core.errors import ConfigError, DataError
from superdef_bench.core.loader import load_dataset, load_defense, load_model
from superdef_bench.core.rng import Random
from superdef_bench.core.threats import Threat
from superdef_bench.core.transform import InputTransform, Protected
from superdef_bench.core.types import AttackContext
from superdef_bench.engine import ascend
from superdef_bench.nn import Detector, GatedClassifier, ResNet
from superdef_bench.testing import toy_images, toy_model

IMAGES = toy_images(8)[0]


class Bright(nn.Module):
    """A detector that takes bright images for attacked."""

    def forward(self, x: Tensor) -> Tensor:
        return 20 * (x.mean(dim=(1, 2, 3)) - IMAGES.mean())


class Dims(InputTransform):
    """A random defense that counts the images it sees."""

    stochastic = True
    seen = 0

    def transform(self, x: Tensor, *, random: Random) -> Tensor:
        self.seen += len(x)
        return x * random.uniform(1, 1, 1, low=0.5, high=0.9)


def gated(stage: InputTransform, detector: nn.Module | None = None) -> GatedClassifier:
    return GatedClassifier(detector or Bright(), [stage], toy_model()).eval()


def test_each_image_goes_its_own_way_whatever_stands_beside_it() -> None:
    stage = Dims()
    network = gated(stage)
    ids = torch.arange(8) + 30
    stopped = network.stops(IMAGES)
    assert 0 < int(stopped.sum()) < 8
    with torch.no_grad(), network.draws(ids, 3, "score", 0):
        found = network(IMAGES)
    assert stage.seen == 3 * int(stopped.sum())  # the others cost no defense
    defended = Protected([Dims()], network.classifier).eval()
    with torch.no_grad(), defended.draws(ids, 3, "score", 0):
        through = defended(IMAGES)
    past = network.classifier(IMAGES).expand(3, -1, -1)
    torch.testing.assert_close(found[:, stopped], through[:, stopped])
    torch.testing.assert_close(found[:, ~stopped], past[:, ~stopped])
    for row in range(8):
        alone = slice(row, row + 1)
        with torch.no_grad(), network.draws(ids[alone], 3, "score", 0):
            torch.testing.assert_close(network(IMAGES[alone]), found[:, alone])
    assert network.passes.forwards == 2 * 3 * 8


def test_draws_go_on_where_no_image_is_stopped() -> None:
    network, other = gated(Dims()), gated(Dims())
    ids = torch.arange(8)
    with torch.no_grad(), network.draws(ids, 2, "attack"), other.draws(ids, 2, "attack"):
        network(torch.zeros_like(IMAGES))
        other(torch.ones_like(IMAGES))
        torch.testing.assert_close(network(IMAGES), other(IMAGES))


def test_it_answers_by_the_switch_and_goes_back_through_the_mixture() -> None:
    stage = load_defense("bicubic_x2")
    assert isinstance(stage, InputTransform)
    network = gated(stage)
    x = IMAGES.clone().requires_grad_()
    found = network(x)
    with torch.no_grad():
        assert torch.equal(network(IMAGES).argmax(1), found.argmax(1))
        torch.testing.assert_close(network(IMAGES), found)
    slope = torch.autograd.grad(found[:, 0].sum(), x)[0]
    x = IMAGES.clone().requires_grad_()
    share = Bright()(x).sigmoid()[:, None]
    mixed = share * network.classifier(stage(x)) + (1 - share) * network.classifier(x)
    torch.testing.assert_close(slope, torch.autograd.grad(mixed[:, 0].sum(), x)[0])


class Rough(nn.Module):
    """A detector of what stands out from its surroundings, more than the clean image's does."""

    def __init__(self, clean: Tensor) -> None:
        super().__init__()
        self.usual = self._energy(clean)

    @staticmethod
    def _energy(x: Tensor) -> Tensor:
        around = functional.avg_pool2d(functional.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
        return (x - around).square().mean(dim=(1, 2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return 4 * (self._energy(x) / self.usual / 1.02 - 1) * 20


class Undo(InputTransform):
    """A defense that no attack gets past: it hands on the clean image."""

    differentiable = False

    def __init__(self, clean: Tensor) -> None:
        super().__init__()
        self.clean = clean

    def transform(self, x: Tensor) -> Tensor:
        away = (x[:, None] - self.clean[None]).abs().amax(dim=(2, 3, 4))
        return self.clean[away.argmin(dim=1)]


def test_the_attack_that_counts_passes_as_clean_and_fools_the_bare_classifier() -> None:
    signs, classifier = load_dataset("signs", split="test"), load_model("signs_resnet8")
    x, y = signs.load(range(24))
    with torch.no_grad():
        right = classifier(x).argmax(1) == y
    x, y = x[right][:16], y[right][:16]
    network = GatedClassifier(Rough(x), [Undo(x)], classifier.requires_grad_(False)).eval()
    view = network.view("bpda")

    def attacked(model: nn.Module) -> Tensor:
        ids = torch.arange(len(x))
        context = AttackContext.start(ids, Random(0, "attack", ids), goal="strength")
        threat = Threat("linf", 8 / 255)
        return ascend(model, x, y, threat, context, steps=40, step_size=1 / 255)

    with torch.no_grad():
        unaware, aware = attacked(classifier), attacked(view)
        assert int((classifier(unaware).argmax(1) != y).sum()) >= 14
        assert network.stops(unaware).all()  # who does not know of the detector is seen
        assert (network(unaware).argmax(1) == y).all()
        fooled = network(aware).argmax(1) != y
        passed = ~network.stops(aware) & (classifier(aware).argmax(1) != y)
    assert torch.equal(fooled, passed)  # there is no other way past
    assert int(passed.sum()) >= 8


def test_nothing_stands_before_what_wraps() -> None:
    network = gated(Dims())
    with pytest.raises(ConfigError, match="stands first"):
        load_defense("jpeg").protect(network, None)  # type: ignore[arg-type]  # asks no task


def test_weights_of_a_classifier_are_of_no_detector() -> None:
    with pytest.raises(DataError, match="2 outputs"):
        Detector.of(ResNet(blocks=1, num_classes=2).state_dict())


def test_what_is_scored_is_what_the_switch_answers() -> None:
    stage = load_defense("bicubic_x2")
    assert isinstance(stage, InputTransform)
    network = gated(stage)
    stopped = network.stops(IMAGES)
    with torch.no_grad(), network.draws(torch.arange(8), 1, "score"):
        seen, logits = network.answer(IMAGES)
    with torch.no_grad():
        torch.testing.assert_close(logits[0], network(IMAGES))
        assert torch.equal(seen[~stopped], IMAGES[~stopped])
        assert not torch.equal(seen[stopped], IMAGES[stopped])
        bare = network.classifier(IMAGES)
    torch.testing.assert_close(logits[0][~stopped], bare[~stopped])
    assert not torch.allclose(logits[0][stopped], bare[stopped])
