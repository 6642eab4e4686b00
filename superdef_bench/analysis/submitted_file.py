"""A file of adversarial examples that somebody hands in, and what it says of itself."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from superdef_bench.benchmark.built import Benchmark
from superdef_bench.benchmark.tensors import checked_images
from superdef_bench.core.errors import ConfigError, DataError
from superdef_bench.core.fingerprint import tensors
from superdef_bench.core.rng import image_id
from superdef_bench.core.threats import parse_eps
from superdef_bench.io.files import portable
from superdef_bench.run.bank.example_file import open_examples
from superdef_bench.run.bank.tensor_file import ADVERSARIAL, TensorFile, read_tensor_file

_LABELS, _IDS = "labels", "ids"
# What a file may say of itself, by the word it says it with.
FACTS = {
    _LABELS: "labels",
    _IDS: "ids",
    "norm": "norm",
    "eps": "eps",
    "dataset": "dataset",
    "dataset_sha256": "sha256 of the dataset",
    "class_names": "order of classes",
    "weights": "classifier weights",
}
_CLOSE = 1e-6  # of two radii: one may have been a float32


@dataclass(frozen=True)
class SubmittedFile:
    """What a file of examples holds.

    Attributes:
        name: Of the file, for messages.
        sha256: Of its bytes.
        images: Examples, floating point `(N, C, H, W)` in [0, 1].
        labels: int64 `(N,)`, where the file says them.
        ids: A number per image, where the file says them: see `core.rng.image_id`.
        facts: What it says of itself, by `FACTS`.
    """

    name: str
    sha256: str
    images: Tensor
    labels: Tensor | None
    ids: Sequence[int] | None
    facts: Mapping[str, Any]

    def ordered(self, names: Sequence[str]) -> "SubmittedFile":
        """Return the same with the examples in the order of image ids, where it says its own.

        Raises:
            DataError: It has other images.
        """
        if self.ids is None:
            return self
        place = {number: index for index, number in enumerate(self.ids)}
        missing = [name for name in names if image_id(name) not in place]
        if missing or len(self.ids) != len(self.images):
            raise DataError(
                f"{self.name} lacks {len(missing)} of the {len(names)} images, such as "
                f"{missing[0]}, by its ids"
                if missing
                else f"{self.name} has {len(self.ids)} ids for {len(self.images)} examples",
                hint="the examples are of other images: name the config that they were made for",
            )
        order = torch.tensor([place[image_id(name)] for name in names])
        labels = None if self.labels is None else self.labels[order]
        return replace(self, images=self.images[order], labels=labels, ids=None)

    def check_labels(self, start: int, labels: Tensor) -> None:
        """Raise DataError unless the labels from image `start` on are these, `(n,)`."""
        if self.labels is None:
            return
        own = self.labels[start : start + len(labels)]
        other = (own != labels.cpu()).nonzero().flatten().tolist()
        if other:
            first = other[0]
            raise DataError(
                f"{self.name} says label {int(own[first])} for image {start + first}, which has "
                f"{int(labels[first])}: {len(other)} of {len(labels)} differ",
                hint="the examples are of other images, or in another order",
            )


def read_submission(path: Path) -> SubmittedFile:
    """Read a file of examples as data; code in it is refused.

    Args:
        path: Of `torch.save`, or an example file of this project (`.safetensors`).

    Raises:
        DataError: It is missing, damaged, holds code, or no examples in [0, 1].
    """
    file = _own(path) if path.suffix == ".safetensors" else read_tensor_file(path)
    try:
        images = checked_images(file.tensors[ADVERSARIAL])
    except ConfigError as error:
        raise DataError(f"{path}: {error.message}", hint=error.hint) from error
    said = {**file.facts, **file.tensors}
    labels, ids = _labels(path, said.get(_LABELS), images), _ids(path, said.get(_IDS))
    with path.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    facts = {key: _number(said[key]) for key in FACTS if key in said}
    return SubmittedFile(portable(path), sha256, images, labels, ids, facts)


def _number(value: object) -> object:
    """Return the number in a tensor of one, such as an eps; anything else as it is."""
    return value.item() if isinstance(value, Tensor) and value.numel() == 1 else value


def _own(path: Path) -> TensorFile:
    """Read an example file of this project as one of others: its levels become images."""
    kept = open_examples(path)
    images = kept.images.float() / 255
    return TensorFile(
        {ADVERSARIAL: images, _LABELS: kept.labels, _IDS: kept.ids}, dict(kept.metadata)
    )


def _labels(path: Path, value: object, images: Tensor) -> Tensor | None:
    """Return labels `(N,)` of a file; None where it says none."""
    if value is None:
        return None
    labels = _whole(value)
    if labels is None or tuple(labels.shape) != tuple(images.shape[:1]):
        raise DataError(
            f"{path} has {_LABELS} that are not a whole number for each of {len(images)} examples",
            hint="write int64 labels (N,), or none",
        )
    return labels


def _ids(path: Path, value: object) -> Sequence[int] | None:
    """Return a number per image, of ids as the dataset has them or of their numbers."""
    if value is None:
        return None
    if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
        return [image_id(str(name)) for name in value]
    numbers = _whole(value)
    if numbers is None or numbers.ndim != 1:
        raise DataError(
            f"{path} has {_IDS} that are no ids of images",
            hint="write the dataset's ids, a list of strings, or none",
        )
    found: list[int] = numbers.tolist()
    return found


def _whole(value: object) -> Tensor | None:
    """Return whole numbers as int64; None of anything else."""
    if isinstance(value, list | tuple):
        whole = all(isinstance(each, int) and abs(each) < 2**63 for each in value)
        return torch.tensor(value, dtype=torch.int64) if whole else None
    if not isinstance(value, Tensor) or value.is_floating_point() or value.is_complex():
        return None
    return value.long()


def check_facts(file: SubmittedFile, benchmark: Benchmark) -> dict[str, bool]:
    """Return for each of `FACTS` whether a file says it of itself.

    Raises:
        DataError: It says something else than the benchmark has.
    """
    config, task = benchmark.config, benchmark.task
    here: dict[str, Any] = {
        "norm": config.norm,
        "eps": config.eps[-1],
        "dataset": task.dataset,
        "dataset_sha256": task.sha256,
        "class_names": list(task.class_names),
        "weights": tensors(benchmark.bare.classifier.state_dict()),
    }
    said = {_LABELS: file.labels is not None, _IDS: file.ids is not None}
    for key, ours in here.items():
        theirs = file.facts.get(key)
        said[key] = theirs not in (None, "")
        if said[key] and not _same(key, theirs, ours):
            raise DataError(
                f"{file.name} says {FACTS[key]} {_short(theirs, ours)}, here it is "
                f"{_short(ours, theirs)}",
                hint="name the config that the examples were made for, and its --eps",
            )
    return said


def _same(key: str, theirs: object, ours: object) -> bool:
    if key == "norm":
        return str(theirs).lower() == ours  # AutoAttack writes Linf and L2
    if key != "eps":
        return theirs == ours or (isinstance(theirs, tuple) and list(theirs) == ours)
    try:
        return math.isclose(parse_eps(theirs), parse_eps(ours), rel_tol=_CLOSE)
    except ConfigError:
        return False


def _short(value: object, other: object) -> str:
    """Return a value in few characters: of a list what differs first, of a hash its beginning."""
    if isinstance(value, list | tuple):
        others = list(other) if isinstance(other, list | tuple) else []
        place = next((p for p, v in enumerate(value) if others[p : p + 1] != [v]), len(value))
        shown = repr(value[place]) if place < len(value) else "nothing"
        return f"{shown} in place {place}"
    text = str(value)
    return text[:12] if len(text) == 64 else text[:40]
