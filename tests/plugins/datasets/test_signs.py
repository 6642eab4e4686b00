"""The embedded benchmark: fixed images, neither trivial nor hopeless, and fast."""

import hashlib

import pytest
import torch

from superdef_bench import SuperdefError, load_dataset, load_model
from tests.support.pace import takes

# One image of each kind: split, index, grey, size.
_PINS = {
    ("test", 0, False, 32): "3ef8ce308ea80b0a",
    ("test", 7, False, 32): "990e2987d67c3926",
    ("test", 3999, False, 32): "74cc3c2962fcfca0",
    ("train", 0, False, 32): "34043d4d2a05c276",
    ("train", 19999, False, 32): "03ddff2419ca94a4",
    ("validation", 13, False, 32): "ac2efe3e4716c708",
    ("test", 5, True, 28): "52ea9e870e769c49",
    ("test", 5, False, 64): "ba12513833f8221e",
}


@pytest.mark.parametrize("which", _PINS)
def test_images_never_change(which: tuple[str, int, bool, int]) -> None:
    split, index, grey, size = which
    image, _ = load_dataset("signs", split=split, grey=grey, size=size).load([index])
    assert image.shape == (1, 1 if grey else 3, size, size)
    pixels = (image * 255).round().byte().numpy().tobytes()
    assert hashlib.sha256(pixels).hexdigest()[:16] == _PINS[which]


def test_an_image_is_a_function_of_its_index_alone() -> None:
    signs = load_dataset("signs")
    whole, labels = signs.load(range(100))
    for indices in ([99, 3, 3, 50], [7]):
        x, y = signs.load(indices)
        assert torch.equal(x, whole[indices])
        assert torch.equal(y, labels[indices])


def test_splits_have_their_sizes_share_nothing_and_are_balanced() -> None:
    splits = {name: load_dataset("signs", split=name) for name in ("train", "validation", "test")}
    assert [len(s.ids) for s in splits.values()] == [20_000, 2_000, 4_000]
    assert len({s.sha256 for s in splits.values()}) == 3
    assert splits["test"].num_classes == len(splits["test"].class_names) == 20
    _, labels = splits["test"].load(range(40))
    assert labels.bincount().tolist() == [2] * 20
    first = [s.load(range(20))[0] for s in splits.values()]
    assert not torch.equal(first[0], first[2])


@pytest.mark.parametrize("arguments", [{"split": "dev"}, {"size": 4}])
def test_bad_arguments_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(SuperdefError, match="signs"):
        load_dataset("signs", **arguments)


@pytest.mark.slow
def test_a_linear_classifier_stays_below_sixty_percent() -> None:
    x, y = load_dataset("signs", split="train").load(range(8000))
    test, labels = load_dataset("signs").load(range(1000))
    features, targets = x.flatten(1) - 0.5, torch.eye(20)[y] - 1 / 20
    gram, cross = features.T @ features, features.T @ targets
    scores = []
    for penalty in (1.0, 30.0, 300.0, 3000.0):  # ridge regression in closed form
        weight = torch.linalg.solve(gram + penalty * torch.eye(len(gram)), cross)
        hits = ((test.flatten(1) - 0.5) @ weight).argmax(dim=1) == labels
        scores.append(float(hits.float().mean()))
    assert 0.2 < max(scores) < 0.6


def test_the_shipped_classifier_reads_them_at_both_sizes() -> None:
    model = load_model("signs_resnet8")
    x, y = load_dataset("signs").load(range(1000))
    large = torch.nn.functional.interpolate(x, scale_factor=2, mode="nearest")
    with torch.no_grad():
        small_hits = float((model(x).argmax(1) == y).float().mean())
        large_hits = float((model(large).argmax(1) == y).float().mean())
    assert 0.96 <= small_hits <= 0.995
    assert large_hits > 0.94


def test_a_thousand_images_are_drawn_in_a_second() -> None:
    signs = load_dataset("signs")
    signs.load(range(64))
    assert takes(lambda: signs.load(range(256)), at_most=0.256)
