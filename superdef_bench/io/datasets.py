"""What dataset plugins share: balanced prefixes, the hash of files, pixels as tensors."""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from superdef_bench.core.errors import DataError
from superdef_bench.io.files import read_file
from superdef_bench.io.pictures import MOST_BYTES
from superdef_bench.io.progress import progress_bar


def balanced_order(classes: Iterable[Iterable[str]]) -> list[str]:
    """Return all ids in the order in which a dataset offers its images.

    Classes come in turn, and within a class ids go by their sha256: every prefix is balanced, and
    a longer one holds every shorter one. A class that has run out is passed over.

    Args:
        classes: Ids of the images of each class; no id stands twice.
    """
    queues = [
        sorted(ids, key=lambda name: hashlib.sha256(name.encode()).digest()) for ids in classes
    ]
    rounds = chain.from_iterable(zip_longest(*queues))
    return [name for name in rounds if name is not None]


def hash_files(title: str, settings: str, root: Path, places: Iterable[str]) -> str:
    """Return the sha256 over settings, and over the place and bytes of every file.

    Args:
        title: What is hashed, for the progress bar.
        settings: What is done to the files, and what else their user depends on.
        root: Folder.
        places: Files below it, in any order.

    Raises:
        DataError: A file cannot be read.
    """
    digest, files = hashlib.sha256(settings.encode()), sorted(places)
    with progress_bar(len(files)) as bar:
        for number, place in enumerate(files):
            try:
                content = read_file(root / place, most=MOST_BYTES)
            except OSError as error:
                raise DataError(f"{root / place} cannot be read: {error.strerror}") from error
            digest.update(place.encode() + hashlib.sha256(content).digest())
            bar.show(f"hashing {title}", f"{number + 1}/{len(files)} images")
            bar.advance(1)
    return digest.hexdigest()


def to_images(pixels: Sequence[np.ndarray] | np.ndarray) -> Tensor:
    """Return uint8 arrays `(H, W, C)` of one shape as float32 `(N, C, H, W)` in [0, 1]."""
    stacked = torch.from_numpy(np.asarray(pixels)).permute(0, 3, 1, 2)
    return stacked.float().contiguous() / 255
