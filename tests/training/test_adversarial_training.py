"""Training on adversarial images, and the defense that hands out what it trained."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from superdef_bench import (
    AttackContext,
    ConfigError,
    DataError,
    Random,
    SuperdefError,
    Threat,
    load_attack,
    load_dataset,
    load_model,
    resize,
)
from superdef_bench.core.threats import parse_eps
from superdef_bench.nn import ResNet
from superdef_bench.testing import toy_images
from superdef_bench.training import (
    Adversary,
    Settings,
    loop,
    measure,
    read_all,
    save_checkpoint,
    train_classifier,
)

pytestmark = pytest.mark.ci

EPS = 8 / 255


class StopOrAhead:
    """Two signs of another shape and colour, in 16 pixels."""

    name, num_classes = "two_signs", 2

    def __init__(self, split: str, pairs: int) -> None:
        self.class_names: Sequence[str] = ["stop", "straight_on"]
        self.split, self._signs = split, load_dataset("signs", split=split, size=16)
        self.sha256 = self._signs.sha256
        stop, ahead = (self._signs.class_names.index(name) for name in self.class_names)
        places = [20 * turn + label for turn in range(pairs) for label in (stop, ahead)]
        self.ids: Sequence[str] = [self._signs.ids[place] for place in places]
        self._places = places

    def load(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        x, _ = self._signs.load([self._places[index] for index in indices])
        return x, torch.tensor([index % 2 for index in indices])


class Linear(nn.Module):
    """Two logits whose gradient is known everywhere."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.weight = nn.Parameter(torch.randn(3 * 32 * 32, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        score = x.flatten(1) @ self.weight
        return torch.stack([score, -score], dim=1)


def uphill(model: Linear, y: Tensor) -> Tensor:
    """Return the sign of the loss's gradient: down the score of class 0, up that of class 1."""
    return (2.0 * y - 1).view(-1, 1, 1, 1) * model.weight.detach().sign().view(1, 3, 32, 32)


def images() -> tuple[Tensor, Tensor]:
    x, _ = toy_images()
    return x, torch.arange(len(x)) % 2


def test_n_fgsm_steps_from_far_noise_and_is_cut_to_pixels_only() -> None:
    model, (x, y) = Linear(), images()
    found = Adversary("n_fgsm").examples(model, x, y, seed=1)
    moved = (found - x).abs()
    assert 2 * EPS < float(moved.max()) <= 3 * EPS + 1e-6, "the noise reaches out of the ball"
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1
    inside = (x > 3 * EPS) & (x < 1 - 3 * EPS)
    noise = (found - x - EPS * uphill(model, y))[inside] / (2 * EPS)
    assert float(noise.abs().max()) <= 1 + 1e-4
    assert float(noise.std()) == pytest.approx(3**-0.5, abs=0.02), "uniform in [-1, 1]"


def test_pgd_stays_in_the_ball_and_climbs_to_its_corner() -> None:
    model, (x, y) = Linear(), images()
    found = Adversary("pgd", steps=3).examples(model, x, y, seed=1)
    corner = (x + EPS * uphill(model, y)).clamp(0, 1)
    assert torch.allclose(found, corner, atol=1e-6)
    assert float((found - x).abs().max()) <= EPS + 1e-6
    network = ResNet(blocks=1, num_classes=2, width=8)
    found = Adversary("pgd", eps="0.1", steps=2).examples(network, x, y, seed=1)
    assert 0.09 < float((found - x).abs().max()) <= 0.1 + 1e-6
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1


@pytest.mark.parametrize("attack", ["pgd", "n_fgsm"])
def test_an_attack_leaves_the_network_alone_and_is_keyed_by_its_seed(attack: str) -> None:
    network, (x, y) = ResNet(blocks=1, num_classes=2, width=8).train(), images()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    adversary = Adversary(attack)  # type: ignore[arg-type]  # a parameter of the test
    first, again, other = (adversary.examples(network, x, y, seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert network.training
    assert not torch.equal(first, adversary.examples(network.eval(), x, y, seed=1)), (
        "in training the statistics of the batch are attacked"
    )
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())
    assert not first.requires_grad


@pytest.mark.parametrize(
    ("adversary", "message"),
    [
        ({"eps": "eight"}, "eps 'eight' is no number"),
        ({"eps": "0/255"}, "eps '0/255' is not above 0"),
        ({"eps": "8"}, "eps '8' is above 1, the whole range of a pixel"),
        ({"steps": 0}, "attack_steps is 0"),
        ({"attack": "fgsm"}, "no training on 'fgsm'"),
    ],
)
def test_an_attack_that_makes_no_sense_is_refused(adversary: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Adversary(**{"attack": "pgd", **adversary})


SETTINGS = Settings(
    epochs=2,
    batch_size=32,
    lr=0.05,
    momentum=0.9,
    weight_decay=5e-4,
    label_smoothing=0.0,
    seed=0,
    adversary=Adversary("n_fgsm", "16/255"),
)


def fresh() -> ResNet:
    torch.manual_seed(0)
    return ResNet(blocks=1, num_classes=2, width=8)


def train(
    model: ResNet, path: Path, settings: Settings = SETTINGS, *, pairs: int, resume: bool = False
) -> None:
    data, held_out = StopOrAhead("train", pairs), StopOrAhead("validation", 8)
    train_classifier(model, data, held_out, settings, extra={}, checkpoint=path, resume=resume)


def test_a_resumed_adversarial_training_is_bit_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fresh()
    train(whole, tmp_path / "whole.safetensors", pairs=32)

    def save_and_stop(*arguments: object) -> None:
        save_checkpoint(*arguments)  # type: ignore[arg-type]  # passed on as they are
        raise KeyboardInterrupt

    path = tmp_path / "cut.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", save_and_stop)
        with pytest.raises(SuperdefError, match=r"stopped at step 2 of 4"):
            train(fresh(), path, pairs=32)
    other = replace(SETTINGS, adversary=Adversary("pgd", "16/255"))
    with pytest.raises(DataError, match="written with other settings: adversarial n_fgsm, now pgd"):
        train(fresh(), path, other, pairs=32, resume=True)
    resumed = ResNet(blocks=1, num_classes=2, width=8)
    train(resumed, path, pairs=32, resume=True)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


@pytest.mark.slow
def test_training_on_either_attack_raises_the_accuracy_under_attack(tmp_path: Path) -> None:
    held_out = read_all(StopOrAhead("test", 50))
    attacks = {
        "plain": None,
        "n_fgsm": Adversary("n_fgsm", "16/255"),
        "pgd": Adversary("pgd", "16/255", 2),
    }
    found = {}
    for name, adversary in attacks.items():
        model, path = fresh(), tmp_path / f"{name}.safetensors"
        settings = replace(SETTINGS, epochs=8, batch_size=16, adversary=adversary)
        train(model, path, settings, pairs=48)
        found[name] = measure(model, held_out, attacks["n_fgsm"])
    assert found["plain"]["accuracy"] > 0.75
    for name in ("n_fgsm", "pgd"):
        assert found[name]["accuracy"] > 0.7
        gain = found[name]["adversarial_accuracy"] - found["plain"]["adversarial_accuracy"]
        assert gain > 0.15, found


def test_accuracy_under_attack_is_what_pgd_of_the_benchmark_leaves() -> None:
    model, (x, y) = load_model("signs_resnet8"), load_dataset("signs").load(range(30))
    pixels, ids = (x * 255).round().byte(), torch.arange(30)

    def left(images: Tensor, eps: str) -> float:
        context = AttackContext.start(ids, Random(0, "training/accuracy", ids))
        threat = Threat("linf", parse_eps(eps))
        found = load_attack("pgd", steps=10)(model, images, y, threat, context)
        return float((model(found).argmax(dim=1) == y).float().mean())

    small, large = (
        measure(model, (pixels, y), Adversary("n_fgsm", eps)) for eps in ("1/255", "2/255")
    )
    assert small["adversarial_accuracy"] == pytest.approx(left(x, "1/255"))
    assert large["adversarial_accuracy"] == pytest.approx(left(x, "2/255"))
    twice = resize(x, (64, 64)).clamp(0, 1)
    assert large["adversarial_accuracy_x2_bicubic"] == pytest.approx(left(twice, "2/255"))
    assert large["accuracy"] > small["adversarial_accuracy"] > large["adversarial_accuracy"] > 0
    assert large["adversarial_accuracy_x2_bicubic"] != large["adversarial_accuracy"]
