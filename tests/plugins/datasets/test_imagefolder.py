"""Image files on disk."""

import hashlib
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


@pytest.mark.parametrize(
    ("options", "sha256", "pixels"),
    [
        (
            {},
            "d8d4efd48e269fb866116b2b1e0f3b7925182d406d75178b354708ce85ec4628",
            "76d57060cd90add5bdb8f4b19dd481aed1d6dbfa4ef534c968b762f2c53628c7",
        ),
        (
            {"size": 5, "crop": 4},
            "ebc95d64b4b80f356ab725470bcf8e77b35d70a77a6e7f27cf331d8239ac979f",
            "ed380ab034f15a1bb82be9016d7a0a4248d7967736e63de30bfa5075b64ac47c",
        ),
    ],
)
def test_hash_order_and_pixels_are_those_of_the_published_tables(
    tmp_path: Path, options: dict[str, int], sha256: str, pixels: str
) -> None:
    for label, (name, count) in enumerate({"ant": 3, "bee": 5, "Cow": 2}.items()):
        place = tmp_path / "test" / name
        (place / "deep").mkdir(parents=True)
        for n in range(count):
            content = bytes((31 * label + 17 * n + k * k) % 256 for k in range(6 * 8 * 3))
            file = place / ("deep" if n == 1 else ".") / f"{n}.ppm"
            file.write_bytes(b"P6\n8 6\n255\n" + content)
    data = load_dataset("imagefolder", path=str(tmp_path), split="test", **options)
    assert data.sha256 == sha256
    assert data.class_names == ["Cow", "ant", "bee"]
    assert data.ids == [
        *("Cow/0.ppm", "ant/deep/1.ppm", "bee/2.ppm", "Cow/deep/1.ppm", "ant/2.ppm"),
        *("bee/3.ppm", "ant/0.ppm", "bee/4.ppm", "bee/deep/1.ppm", "bee/0.ppm"),
    ]
    x, y = data.load(range(10))
    assert y.tolist() == [0, 1, 2, 0, 1, 2, 1, 2, 2, 2]
    assert hashlib.sha256((x * 255).round().byte().numpy().tobytes()).hexdigest() == pixels


def test_a_list_of_classes_gives_the_order_and_may_name_classes_without_images(
    folder: Callable[..., Path], tmp_path: Path
) -> None:
    path, listed = folder({"a": 3, "b": 3}), tmp_path / "classes.txt"
    listed.write_text("\ufeffb\nnever seen\na\n\n", "utf-8")
    data = load_dataset("imagefolder", path=str(path), split="test", classes=str(listed))
    assert (data.num_classes, data.class_names) == (3, ["b", "never seen", "a"])
    x, y = data.load(range(6))
    assert y.tolist() == [0, 2] * 3
    assert float(x[1].max()) * 255 < 3 < 39 < float(x[0].min()) * 255  # a is dark, b is not
    plain = load_dataset("imagefolder", path=str(path), split="test")
    hashes = {data.sha256, plain.sha256}
    listed.write_text("a\nnever seen\nb\n")
    again = load_dataset("imagefolder", path=str(path), split="test", classes=str(listed))
    assert len(hashes | {again.sha256}) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n", "b is no class that is listed"),
        ("a\nb\na\n", "class 'a' is listed twice"),
        ("a\n\nb\n", "line 2: it is empty"),
        ("a\nb\n\xff", "it is no UTF-8 text"),
        (None, "No such file"),
    ],
)
def test_a_list_of_classes_that_makes_no_sense(
    folder: Callable[..., Path], tmp_path: Path, text: str | None, message: str
) -> None:
    path, listed = folder({"a": 1, "b": 1}), tmp_path / "classes.txt"
    if text is not None:
        listed.write_text(text, "latin-1")
    with pytest.raises(DataError, match=message) as error:
        load_dataset("imagefolder", path=str(path), split="test", classes=str(listed))
    assert "\n" not in error.value.message
