"""Image files on disk."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from superdef_bench import DataError, load_dataset


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a folder of coloured images, one class per name."""

    def write(sizes: dict[str, int], shape: tuple[int, int] = (12, 16)) -> Path:
        for label, (name, count) in enumerate(sizes.items()):
            place = tmp_path / "pictures" / "test" / name
            place.mkdir(parents=True)
            for number in range(count):
                pixels = np.full((*shape, 3), 40 * label + number, np.uint8)
                Image.fromarray(pixels).save(place / f"{number:03d}.png")
        return tmp_path / "pictures"

    return write


def test_prefixes_are_balanced_and_nested(folder: Callable[..., Path]) -> None:
    path = folder({"a": 5, "b": 5, "c": 2})
    data = load_dataset("imagefolder", path=str(path), split="test")
    assert (data.name, data.class_names, data.num_classes) == ("pictures", ["a", "b", "c"], 3)
    x, y = data.load(range(12))
    assert x.shape == (12, 3, 12, 16)
    assert y[:6].tolist() == [0, 1, 2, 0, 1, 2]
    assert sorted(y[6:].tolist()) == [0, 0, 0, 1, 1, 1]
    assert len(set(data.ids)) == 12
    again, labels = data.load([4, 0])
    assert torch.equal(again, x[[4, 0]])
    assert torch.equal(labels, y[[4, 0]])
    number = int(data.ids[0].split("/")[1][:3])
    assert torch.equal(x[0], torch.full((3, 12, 16), number / 255))


def test_the_hash_sees_every_byte_and_every_name(folder: Callable[..., Path]) -> None:
    path = folder({"a": 2, "b": 2})

    def sha256(**arguments: object) -> str:
        return load_dataset("imagefolder", path=str(path), split="test", **arguments).sha256

    hashes = {sha256(), sha256(size=8)}
    file = path / "test" / "a" / "000.png"
    content = file.read_bytes()
    file.write_bytes(content + b"x")
    hashes.add(sha256())
    file.write_bytes(content)
    file.rename(file.with_name("900.png"))
    hashes.add(sha256())
    assert len(hashes) == 4


def test_size_and_crop(folder: Callable[..., Path]) -> None:
    path = folder({"a": 1, "b": 1})
    data = load_dataset("imagefolder", path=str(path), split="test", size=6, crop=6)
    assert data.load([0])[0].shape == (1, 3, 6, 6)
    wide = load_dataset("imagefolder", path=str(path), split="test", size=24)
    assert wide.load([0])[0].shape == (1, 3, 24, 32)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        load_dataset("imagefolder", path=str(tmp_path / "nothing"))


def test_an_empty_folder_an_empty_class_and_one_class(
    folder: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has 0 classes"):
        load_dataset("imagefolder", path=str(tmp_path / "empty"))
    path = folder({"a": 2})
    with pytest.raises(DataError, match="has 1 classes"):
        load_dataset("imagefolder", path=str(path), split="test")
    (path / "test" / "b").mkdir()
    with pytest.raises(DataError, match="b has no images"):
        load_dataset("imagefolder", path=str(path), split="test")


def test_a_truncated_image_and_one_of_another_size(folder: Callable[..., Path]) -> None:
    path = folder({"a": 2, "b": 2}, (64, 64))
    file = path / "test" / "a" / "001.png"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    data = load_dataset("imagefolder", path=str(path), split="test")
    with pytest.raises(DataError, match=r"a/001\.png cannot be read"):
        data.load(range(4))
    Image.new("RGB", (32, 64)).save(file)
    with pytest.raises(DataError, match=r"images differ in size.*a/001\.png 32x64"):
        data.load(range(4))
    with pytest.raises(DataError, match="too few to crop 48"):
        load_dataset("imagefolder", path=str(path), split="test", crop=48).load(range(4))
