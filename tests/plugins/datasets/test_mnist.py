"""MNIST in its real layout."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

from superdef_bench import DataError, load_dataset
from superdef_bench.testing import check_dataset
from tests.support.downloads import CLOSED, md5, offline, serve


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return offline(monkeypatch, tmp_path / "data folder")


def mnist(monkeypatch: pytest.MonkeyPatch, url: str, folder: Path) -> dict[str, bytes]:
    """Write small archives of the real layout and return them; hashes are set to them."""
    random, files = np.random.default_rng(1), {}
    for part in ("train", "t10k"):
        count = 50
        pixels = random.integers(0, 256, (count, 28, 28), np.uint8).tobytes()
        labels = bytes(number % 10 for number in range(count))
        head = struct.pack(">IIII", 0x803, count, 28, 28)
        files[f"{part}-images-idx3-ubyte.gz"] = gzip.compress(head + pixels)
        head = struct.pack(">II", 0x801, count)
        files[f"{part}-labels-idx1-ubyte.gz"] = gzip.compress(head + labels)
    monkeypatch.setattr(datasets.MNIST, "mirrors", [CLOSED, url])
    known = [(name, md5(content)) for name, content in files.items()]
    monkeypatch.setattr(datasets.MNIST, "resources", known)
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return files


def test_mnist_comes_from_its_second_mirror_with_one_channel(
    monkeypatch: pytest.MonkeyPatch, data: Path, tmp_path: Path
) -> None:
    with serve(tmp_path / "served") as (url, _):
        files = mnist(monkeypatch, url, tmp_path / "served")
        found = load_dataset("mnist")
    assert [check for check in check_dataset(found) if check[1]] == []
    assert found.class_names == [str(digit) for digit in range(10)]
    x, y = found.load([3, 14])
    assert x.shape == (2, 1, 28, 28)
    assert y.tolist() == [3, 4]
    raw = gzip.decompress(files["t10k-images-idx3-ubyte.gz"])[16:]
    row = int(found.ids[3].removeprefix("test/"))
    pixels = (x[0] * 255).round().byte().numpy().tobytes()
    assert pixels == raw[784 * row : 784 * (row + 1)]


def cut(images: Path, labels: Path) -> None:
    images.write_bytes(images.read_bytes()[:-1])


def fewer_labels(images: Path, labels: Path) -> None:
    head = struct.pack(">II", 0x801, 49)
    labels.write_bytes(head + labels.read_bytes()[8:-1])


def narrow(images: Path, labels: Path) -> None:
    head = struct.pack(">IIII", 0x803, 50, 27, 28)
    images.write_bytes(head + images.read_bytes()[16 : 16 + 50 * 27 * 28])


def eleventh_digit(images: Path, labels: Path) -> None:
    labels.write_bytes(labels.read_bytes()[:-1] + b"\x0a")


@pytest.mark.parametrize("harm", [cut, fewer_labels, narrow, eleventh_digit])
def test_damaged_unpacked_files_are_one_line_that_says_what_to_delete(
    monkeypatch: pytest.MonkeyPatch, data: Path, harm: Callable[[Path, Path], None]
) -> None:
    raw = data / "MNIST" / "raw"
    mnist(monkeypatch, CLOSED, raw)
    load_dataset("mnist")
    images, labels = raw / "t10k-images-idx3-ubyte", raw / "t10k-labels-idx1-ubyte"
    harm(images, labels)
    for download in (True, False):
        with pytest.raises(DataError, match=r"mnist in .* is damaged: .") as error:
            load_dataset("mnist", download=download)
        assert "\n" not in error.value.message
        assert error.value.hint.startswith(f"delete {raw}")
        assert str(images) in error.value.hint
    for file in raw.glob("*-ubyte"):
        file.unlink()
    load_dataset("mnist", download=False)


def test_the_hash_sees_labels_and_split(monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    raw = data / "MNIST" / "raw"
    mnist(monkeypatch, CLOSED, raw)
    hashes = {load_dataset("mnist").sha256, load_dataset("mnist", split="train").sha256}
    labels = raw / "t10k-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1] + b"\x01")
    hashes.add(load_dataset("mnist").sha256)
    assert len(hashes) == 3
