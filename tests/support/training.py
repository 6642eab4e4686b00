"""A small training that several tests run."""

from pathlib import Path

import torch

from superdef_bench import load_dataset
from superdef_bench.nn import ResNet
from superdef_bench.training import (
    Settings,
    train_classifier,
)

SETTINGS = Settings(
    epochs=2,
    batch_size=32,
    lr=0.1,
    momentum=0.9,
    weight_decay=5e-4,
    label_smoothing=0.05,
    seed=0,
)


class First:
    """The first images of a split."""

    def __init__(self, split: str, count: int) -> None:
        inner = load_dataset("signs", split=split)
        self.name, self.split, self.ids, self.load = "signs", split, inner.ids[:count], inner.load
        self.num_classes, self.class_names = inner.num_classes, inner.class_names
        self.sha256 = inner.sha256


def fresh() -> ResNet:
    torch.manual_seed(0)
    return ResNet(blocks=1, num_classes=20, width=8)


def train(
    model: ResNet, path: Path, settings: Settings = SETTINGS, *, resume: bool = False
) -> None:
    images, held_out = First("train", 160), First("validation", 40)
    train_classifier(model, images, held_out, settings, extra={}, checkpoint=path, resume=resume)
