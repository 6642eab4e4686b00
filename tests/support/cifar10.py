"""CIFAR-10 as it is on disk, with a few test images, for code that reads it by torchvision."""

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import CIFAR10

CLASSES = [
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
]


def write_cifar10(
    folder: Path, pixels: np.ndarray, labels: list[int], patch: pytest.MonkeyPatch
) -> Path:
    """Write test images `(N, 32, 32, 3)` into a folder, and let torchvision take it for whole."""
    inside = folder / CIFAR10.base_folder
    inside.mkdir(parents=True)
    rows = pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)
    names = [f"{number}.png" for number in range(len(labels))]
    batch = {"batch_label": "testing batch 1 of 1", "labels": labels, "data": rows}
    sums = []
    for name, content in (
        ("test_batch", {**batch, "filenames": names}),
        ("batches.meta", {"label_names": CLASSES, "num_vis": 3072}),
    ):
        (inside / name).write_bytes(pickle.dumps(content, protocol=2))
        sums.append(hashlib.md5((inside / name).read_bytes()).hexdigest())
    patch.setattr(CIFAR10, "train_list", [])
    patch.setattr(CIFAR10, "test_list", [["test_batch", sums[0]]])
    patch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": sums[1]})
    return folder
