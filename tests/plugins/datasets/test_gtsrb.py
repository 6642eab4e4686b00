"""GTSRB in its real layout on disk."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from PIL import Image

from superdef_bench import ConfigError, DataError, load_dataset
from superdef_bench.testing import check_dataset
from tests.support.plugin_files import plugin_module

_SHAPES = {0: (15, 25), 1: (60, 40), 2: (32, 32)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SUPERDEF_BENCH_DATA_DIR", str(tmp_path))
    return tmp_path / "gtsrb"


def picture(file: Path, number: int) -> None:
    pixels = np.random.default_rng(number).integers(0, 256, (*_SHAPES[number % 3], 3), np.uint8)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


@pytest.fixture
def written(folder: Path) -> Callable[[], list[int]]:
    """Return a function that writes test images and their table; it gives their labels."""

    def write() -> list[int]:
        labels = [number * 7 % 43 for number in range(4 * 43)] + [5, 5]
        rows = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
        for number, label in enumerate(labels):
            picture(folder / "GTSRB" / "Final_Test" / "Images" / f"{number:05d}.ppm", number)
            rows.append(f"{number:05d}.ppm;40;40;5;5;35;35;{label}")
        (folder / "GT-final_test.csv").write_text("\r\n".join(rows))
        return labels

    return write


def test_images_of_any_size_become_squares_and_keep_their_labels(
    folder: Path, written: Callable[[], list[int]]
) -> None:
    labels = written()
    data = load_dataset("gtsrb", download=False)
    assert [check for check in check_dataset(data) if check[1]] == []
    assert (data.name, data.num_classes, len(set(data.class_names))) == ("gtsrb", 43, 43)
    assert (data.class_names[14], data.class_names[38]) == ("stop", "keep right")
    x, y = data.load(range(len(labels)))
    assert x.shape == (len(labels), 3, 32, 32)
    assert y.tolist() == list(range(43)) * 4 + [5, 5]
    rows = [int(place.removeprefix("test/").removesuffix(".ppm")) for place in data.ids]
    assert [labels[row] for row in rows] == y.tolist()
    place = next(place for place, row in enumerate(rows) if _SHAPES[row % 3] == (60, 40))
    file = folder / "GTSRB" / "Final_Test" / "Images" / f"{rows[place]:05d}.ppm"
    with Image.open(file) as opened:
        expected = np.array(opened.resize((32, 32), Image.Resampling.BICUBIC))
    assert torch.equal((x[place] * 255).round().byte(), torch.from_numpy(expected).permute(2, 0, 1))
    larger = load_dataset("gtsrb", size=48)
    assert larger.load([0])[0].shape == (1, 3, 48, 48)
    hashes = {data.sha256, larger.sha256}
    table = folder / "GT-final_test.csv"
    table.write_text(table.read_text().replace("00000.ppm;40;40;5;5;35;35;0", "00000.ppm;;;;;;;1"))
    assert len(hashes | {load_dataset("gtsrb").sha256}) == 3


def test_the_training_images_and_an_unpacking_that_was_interrupted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for label in range(43):
        for number in range(2):
            picture(folder / "GTSRB" / "Training" / f"{label:05d}" / f"{number:05d}.ppm", label)
    data = load_dataset("gtsrb", split="train")
    assert data.load(range(86))[1].tolist() == list(range(43)) * 2
    assert data.ids[0] in ("train/00000/00000.ppm", "train/00000/00001.ppm")
    with ZipFile(folder / "GTSRB-Training_fixed.zip", "w") as archive:
        for file in sorted(folder.rglob("*.ppm")):
            archive.write(file, file.relative_to(folder))
    load_dataset("gtsrb", split="train")
    digest = hashlib.md5((folder / "GTSRB-Training_fixed.zip").read_bytes()).hexdigest()
    known = plugin_module("datasets.torchvision_sets.gtsrb")
    archives = [replace(known._ARCHIVES["train"][0], md5=digest)]
    monkeypatch.setitem(known._ARCHIVES, "train", archives)
    (folder / "GTSRB" / "Training" / "00040" / "00001.ppm").unlink()
    for download in (True, False):
        with pytest.raises(DataError, match=r"00040/00001\.ppm is missing, 1 images are") as error:
            load_dataset("gtsrb", split="train", download=download)
        assert error.value.hint == f"delete {folder / 'GTSRB'}, and run again"
    (folder / "GTSRB-Training_fixed.zip").unlink()
    for file in (folder / "GTSRB" / "Training" / "00003").iterdir():
        file.unlink()
    (folder / "GTSRB" / "Training" / "00003").rmdir()
    with pytest.raises(DataError, match="there must be 43 classes") as error:
        load_dataset("gtsrb", split="train", download=False)
    assert f"delete {folder / 'GTSRB'}, then get {archives[0].address} by" in error.value.hint


def test_a_missing_table_and_missing_and_damaged_images(
    folder: Path, written: Callable[[], list[int]]
) -> None:
    written()
    table, image = folder / "GT-final_test.csv", folder / "GTSRB/Final_Test/Images/00007.ppm"
    image.write_bytes(image.read_bytes()[:-1])
    data = load_dataset("gtsrb")
    with pytest.raises(DataError, match=r"00007\.ppm cannot be read"):
        data.load(range(len(data.ids)))
    image.unlink()
    for download in (True, False):
        with pytest.raises(DataError, match=r"00007\.ppm is missing, 1 images are"):
            load_dataset("gtsrb", download=download)
    table.unlink()
    for download in (True, False):
        with pytest.raises(DataError, match=r"GT-final_test\.csv is missing") as error:
            load_dataset("gtsrb", download=download)
        assert f"delete {folder / 'GTSRB'} and {table}" in error.value.hint


def test_a_size_that_makes_no_sense() -> None:
    with pytest.raises(ConfigError, match="size is 0, take 1 to 1024 pixels"):
        load_dataset("gtsrb", size=0)
