"""Mirrored and shifted images, and parts of a batch that are enlarged."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from superdef_bench import ConfigError
from superdef_bench.training import classifier
from superdef_bench.training.classifier import flip_crop
from tests.support.commands import Answer
from tests.support.training import SETTINGS, First, fresh, train

Run = Callable[..., Answer]


def test_every_image_is_a_shift_of_itself_or_of_its_mirror() -> None:
    image = torch.arange(3 * 16 * 24).view(3, 16, 24).float() + 1
    found = flip_crop(image.expand(300, -1, -1, -1), 0)
    assert found.shape == (300, 3, 16, 24)
    seen = set()
    for one in found:
        for mirrored in (False, True):
            source = torch.zeros(3, 16 + 4, 24 + 6)
            source[:, 2:-2, 3:-3] = image
            for down in range(5):
                for right in range(7):
                    cut = source[:, down : down + 16, right : right + 24]
                    if torch.equal(one, cut.flip(2) if mirrored else cut):
                        seen.add((mirrored, down, right))
                        break
    assert len(seen) > 60  # of 70
    assert {mirrored for mirrored, _, _ in seen} == {False, True}


def test_a_crop_mirrors_nothing() -> None:
    image = torch.arange(16.0).expand(3, 16, 16)  # rises to the right
    for one in flip_crop(image.expand(50, -1, -1, -1), 0, mirror=False):
        row = one[0, 8]
        assert (row[row > 0].diff() > 0).all()
    assert not torch.equal(one, image)


def test_the_same_seed_draws_the_same_and_images_draw_apart() -> None:
    x = torch.rand(1, 3, 16, 16).expand(8, -1, -1, -1)
    assert torch.equal(flip_crop(x, 5), flip_crop(x, 5))
    assert not torch.equal(flip_crop(x, 5), flip_crop(x, 6))
    assert len({tuple(one.flatten().tolist()) for one in flip_crop(x, 5)}) > 4


def test_a_batch_is_enlarged_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, ...]] = []
    model = fresh()
    model.register_forward_pre_hook(
        lambda module, inputs: sizes.append(tuple(inputs[0].shape)) if module.training else None
    )
    settings = replace(SETTINGS, epochs=1, enlarged=0.25, augment="flip_crop")
    drawn: list[int] = []

    def counted(x: Tensor, seed: int, *, mirror: bool) -> Tensor:
        drawn.append(seed)
        assert mirror
        return flip_crop(x, seed, mirror=mirror)

    monkeypatch.setattr(classifier, "flip_crop", counted)
    train(model, tmp_path / "c.safetensors", settings)
    assert set(sizes) == {(24, 3, 32, 32), (8, 3, 64, 64)}
    assert drawn == list(range(5))
    assert len(First("train", 160).ids) == 5 * 32


def test_settings_out_of_range_are_one_line(run_cli: Run) -> None:
    for share in (0.0, 0.01, 1.0, -1.0):
        with pytest.raises(ConfigError, match="enlarged is"):
            replace(SETTINGS, enlarged=share)
    with pytest.raises(ConfigError, match="no augmentation 'turn'"):
        replace(SETTINGS, augment="turn")  # type: ignore[arg-type]  # that is the point
    answer = run_cli("train", "classifier", "--augment", "turn")
    assert answer.code == 2
    assert "augment" in answer.err
