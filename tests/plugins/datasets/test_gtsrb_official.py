"""GTSRB in the layout of its authors' archives, and training that keeps tracks together."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from superdef_bench import DataError, load_dataset, use_plugins
from superdef_bench.core.errors import ConfigError
from superdef_bench.testing import check_dataset
from superdef_bench.training import splits_of
from tests.support.commands import Answer

_HEAD = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\r\n"
_TRACKS, _FRAMES = 3, 4


def write(folder: Path, places: list[tuple[str, int]], table: Path) -> None:
    rows = []
    for number, (place, label) in enumerate(places):
        pixels = np.full((8, 8, 3), (5 * number + label) % 256, np.uint8)
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / place)
        rows.append(f"{place};60;60;5;5;55;55;{label}\r\n")
    table.write_text(_HEAD + "".join(rows))


def given(root: Path, **arguments: str) -> Any:
    return load_dataset("gtsrb", path=str(root), **arguments)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "small-gtsrb"
    for label in range(43):
        images = folder / f"GTSRB/Final_Training/Images/{label:05d}"
        images.mkdir(parents=True)
        tracks = 1 if label == 7 else _TRACKS
        names = [f"{t:05d}_{f:05d}.ppm" for t in range(tracks) for f in range(_FRAMES)]
        write(images, [(name, label) for name in names], images / f"GT-{label:05d}.csv")
    tests = folder / "GTSRB/Final_Test/Images"
    tests.mkdir(parents=True)
    places = [(f"{n:05d}.ppm", n % 43) for n in range(86)]
    write(tests, places, folder / "GTSRB/GT-final_test.csv")
    return folder


def test_both_splits_are_read_and_called_after_the_folder(root: Path) -> None:
    train, test = (given(root, split=split) for split in ("train", "test"))
    assert {train.name, test.name} == {"small-gtsrb"}
    assert len(train.ids) == 42 * _TRACKS * _FRAMES + _FRAMES
    assert train.load(range(43))[1].tolist() == list(range(43))
    assert test.load(range(86))[1].tolist() == list(range(43)) * 2
    for data in (train, test):
        assert [check for check in check_dataset(data) if check[1]] == []
    tracks = [place.rpartition("_")[0] for place in train.ids]
    assert train.groups == tracks
    assert len(set(train.groups)) == 42 * _TRACKS + 1
    assert test.groups == test.ids


@pytest.mark.parametrize("name", ["gtsrb", "gtsrb-32"])
def test_the_held_out_tenth_is_whole_tracks_of_every_class(root: Path, name: str) -> None:
    place = root.rename(root.with_name(name))
    assert given(place).name == ("gtsrb (folder)" if name == "gtsrb" else name)
    train, validation, test = splits_of(f"{{ plugin = 'gtsrb', path = '{place}' }}")
    assert test.split == "test"
    tracks = [{each.rpartition("_")[0] for each in part.ids} for part in (train, validation)]
    assert tracks[0].isdisjoint(tracks[1])
    assert len(tracks[1]) == 42  # one of three of each class; the class of one track keeps it
    assert len(train.ids) + len(validation.ids) == 42 * _TRACKS * _FRAMES + _FRAMES
    assert sorted({int(x) for x in validation.load(range(len(validation.ids)))[1]}) == [
        label for label in range(43) if label != 7
    ]


WRITERS = """
from superdef_bench import hookimpl, load_dataset

class Written:
    def __init__(self, *, split="test", writers=3, share=2):
        if split not in ("train", "test"):
            raise ValueError(split)
        inner = load_dataset("signs", split=split)
        self.name, self.split, self.ids = "written", split, inner.ids[:300]
        self.num_classes, self.class_names = 20, inner.class_names
        self.sha256, self.load = inner.sha256, inner.load
        # A writer has pictures of several classes, each class of `share` writers.
        self.groups = [f"w{(n % 20 + n // 20 % share) % writers}" for n in range(300)]

@hookimpl
def register_datasets():
    return {"written": Written}
"""


def test_groups_of_several_classes_leave_every_class_images_to_train_on(
    plugin_folder: Callable[..., Path],
) -> None:
    use_plugins([plugin_folder(WRITERS)], third_party=False)
    train, validation, _ = splits_of("{ plugin = 'written', writers = 20 }")
    whole: Any = load_dataset("written", split="train", writers=20)
    group = dict(zip(whole.ids, whole.groups, strict=True))
    kept, held = ({group[name] for name in part.ids} for part in (train, validation))
    assert kept.isdisjoint(held)
    assert 0 < len(validation.ids) <= 100 < len(train.ids)
    assert len(set(train.load(range(len(train.ids)))[1].tolist())) == 20
    for few in (1, 2):
        with pytest.raises(DataError, match=r"groups of written are too few to hold out a tenth"):
            splits_of(f"{{ plugin = 'written', writers = {few}, share = {few} }}")


def test_groups_of_another_number_are_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = type(load_dataset("gtsrb", path=str(root)))
    alone = property(lambda self: ["a"], lambda self, value: None)
    monkeypatch.setattr(kind, "groups", alone, raising=False)
    with pytest.raises(DataError, match=r"gives 1 groups for \d+ images"):
        splits_of(f"{{ plugin = 'gtsrb', path = '{root}' }}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: (r / "GTSRB/GT-final_test.csv").unlink(), "GT-final_test.csv cannot be read"),
        (lambda r: (r / "GTSRB/Final_Test/Images/00003.ppm").unlink(), "00003.ppm .* is missing"),
        (lambda r: (r / "GTSRB").rename(r / "Gtsrb"), "has no folder GTSRB"),
        (
            lambda r: (r / "GTSRB/GT-final_test.csv").write_text("Filename;Class\n1.ppm;1\n"),
            "has no column 'ClassId'",
        ),
    ],
)
def test_what_is_missing_is_one_line(
    root: Path, change: Callable[[Path], object], message: str
) -> None:
    change(root)
    with pytest.raises(DataError, match=message):
        load_dataset("gtsrb", path=str(root))


def test_a_table_of_another_class_is_named(root: Path) -> None:
    table = root / "GTSRB/Final_Training/Images/00004/GT-00004.csv"
    table.write_text(table.read_text().replace(";4\n", ";5\n"))
    with pytest.raises(DataError, match=r"GT-00004\.csv has images of class 5"):
        load_dataset("gtsrb", path=str(root), split="train")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{ plugin = gtsrb }", "is no table"),
        ("{ path = 'x' }", "names no plugin"),
        ("{ plugin = 'gtsrp' }", "unknown dataset plugin 'gtsrp'"),
        ("{ plugin = 'signs', split = 'test' }", "has a split"),
        ("{ plugin = 'signs' }\nx = 3", "names no plugin"),
    ],
)
def test_a_table_of_data_that_says_nothing_is_refused(data: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        splits_of(data)


def test_a_recipe_takes_a_plugin_with_arguments(root: Path, run_cli: Callable[..., Answer]) -> None:
    data = f"{{ plugin = 'gtsrb', path = '{root}' }}"
    words = ("--epochs", "1", "--batch-size", "32", "--width", "8", "-o", "out")
    answer = run_cli("train", "classifier", "--data", data, *words)
    assert answer.code == 0, answer.err
    assert Path("out/small_gtsrb_resnet8.safetensors").is_file()
