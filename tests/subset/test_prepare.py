"""`data prepare` and what it writes: arrays that need no pickle, and a card that tells of them."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from superdef_bench import load_dataset
from superdef_bench.io.seal import digest
from tests.support.commands import Answer
from tests.support.films import FILMS

Run = Callable[..., Answer]
FEW = ("--train", 15, "--validation", 5, "--test", 6)


@pytest.fixture
def prepare(run_cli: Run, plugin_folder: Callable[[str], Path]) -> Run:
    """Return a function that prepares a subset of one of the plugins."""
    folder = plugin_folder(FILMS)

    def run(*words: object) -> Answer:
        return run_cli("data", "prepare", *words, "--plugins-dir", folder)

    return run


def arrays(folder: str) -> dict[str, np.ndarray]:
    with np.load(f"{folder}/images.npz", allow_pickle=False) as found:
        return {name: found[name] for name in found.files}


def card(folder: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(folder, "card.json").read_text())
    return found


def test_the_first_classes_are_written_with_as_many_images_of_each(prepare: Run) -> None:
    answer = prepare("films", "--classes", 3, *FEW, "-o", "out")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == (
        "my-films (3 classes), 12x12 pixels: 45 train, 15 validation, 18 test\n"
        "out/images.npz\nout/card.json\n"
    )
    found = arrays("out")
    assert found["images"].dtype == np.uint8
    assert found["images"].shape == (78, 12, 12, 3)
    assert found["labels"].dtype == np.int64
    assert {found[name].dtype.kind for name in ("splits", "ids", "groups")} == {"U"}
    for split, count in (("train", 15), ("validation", 5), ("test", 6)):
        labels = found["labels"][found["splits"] == split]
        assert np.bincount(labels).tolist() == [count] * 3
    sources = {split: load_dataset("films", split=split) for split in ("train", "test")}
    for row, name in enumerate(found["ids"].tolist()):
        split = found["splits"][row]
        source = sources["test" if split == "test" else "train"]
        x, y = source.load([source.ids.index(name)])
        assert int(y) == found["labels"][row]
        expected = (x[0] * 255).round().byte().permute(1, 2, 0).numpy()
        assert np.array_equal(found["images"][row], expected)


def test_classes_with_too_few_images_are_passed_over_and_told(run_cli: Run) -> None:
    for name, count in (("a", 3), ("b", 8), ("c", 8)):
        for number in range(count):
            Path("pictures", name).mkdir(parents=True, exist_ok=True)
            colour = (number * 9, 40, 200)
            Image.new("RGB", (8, 8), colour).save(f"pictures/{name}/{number}.png")
    words = ("data", "prepare", '{ plugin = "imagefolder", path = "pictures", split = "" }')
    few = ("--train", 3, "--validation", 1, "--test", 2)
    answer = run_cli(*words, "--classes", 2, *few, "-o", "out")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("passed over, with too few images: a\n")
    assert (card("out")["class_names"], card("out")["passed_over"]) == (["b", "c"], ["a"])
    answer = run_cli(*words, "--classes", 3, *few, "-o", "none")
    assert answer.code == 2
    assert "2 classes of pictures have enough images, wanted 3: class 'a' has 3 in" in answer.err
    assert "wanted 6" in answer.err
    assert not Path("none").exists()
    answer = run_cli(*words, *few, "-o", "none")
    assert "class 'a' of pictures has 3 images, wanted 6" in answer.err


def test_no_film_straddles_the_parts(prepare: Run) -> None:
    for seed in range(3):
        assert prepare("films", *FEW, "--seed", seed, "-o", f"out{seed}").code == 0
        found = arrays(f"out{seed}")
        films = [name.rpartition("/")[0] for name in found["ids"].tolist()]
        assert films == found["groups"].tolist()
        of = {s: set(found["groups"][found["splits"] == s].tolist()) for s in ("train", "test")}
        of["validation"] = set(found["groups"][found["splits"] == "validation"].tolist())
        assert not of["train"] & of["validation"]
        assert len(of["validation"]) == 4  # one film of five frames of each class
    assert card("out0")["groups"].startswith("kept together")


def test_a_film_in_both_splits_of_the_source_is_in_one_part(prepare: Run) -> None:
    words = ("--train", 10, "--validation", 5, "--test", 4)
    assert prepare("{ plugin = 'films', shared = true }", *words, "-o", "out").code == 0
    found = arrays("out")
    of = {s: set(found["groups"][found["splits"] == s].tolist()) for s in ("train", "test")}
    assert of["test"]
    assert not of["train"] & of["test"]


def test_the_same_seed_gives_the_same_files_and_another_one_others(prepare: Run) -> None:
    for place, seed in (("a", 4), ("b", 4), ("c", 5)):
        assert prepare("films", *FEW, "--seed", seed, "-o", place).code == 0
    read = {place: Path(place, "images.npz").read_bytes() for place in "abc"}
    assert read["a"] == read["b"]
    assert Path("a/card.json").read_text() == Path("b/card.json").read_text()
    assert read["a"] != read["c"]


def test_the_card_says_where_the_images_come_from(prepare: Run) -> None:
    words = ("--class", "fox", "--class", "dog", "--size", 8, "--seed", 3)
    assert prepare("films", *FEW, *words, "-o", "out").code == 0
    found = card("out")
    assert found["name"] == "my-films (2 classes)"
    assert found["class_names"] == ["dog", "fox"]
    assert found["source"] == {
        "plugin": "films",
        "name": "my-films",
        "sha256": {s: load_dataset("films", split=s).sha256 for s in ("train", "test")},
    }
    assert found["per_class"] == {"train": 15, "validation": 5, "test": 6}
    assert found["images_in"] == {"train": 30, "validation": 10, "test": 12}
    assert (found["size"], found["shape"], found["seed"]) == (8, [8, 8, 3], 3)
    assert found["drawn"].startswith("train and validation are drawn from split train, test from")
    content = Path("out/images.npz").read_bytes()
    assert found["images"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert found["sha256"] == digest(found)


def test_images_are_resized_as_datasets_resize_their_files(prepare: Run) -> None:
    assert prepare("films", *FEW, "--size", 7, "-o", "out").code == 0
    found, source = arrays("out"), load_dataset("films", split="train")
    pixels = (source.load([source.ids.index(found["ids"][0])])[0][0] * 255).round().byte()
    whole = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    expected = np.asarray(whole.resize((7, 7), Image.Resampling.BICUBIC))
    assert np.array_equal(found["images"][0], expected)


@pytest.mark.parametrize("words", ["alone", "{ plugin = 'films', split = 'train' }"])
def test_one_split_is_shared_out_and_the_card_says_so(prepare: Run, words: str) -> None:
    assert prepare(words, "--train", 10, "--validation", 5, "--test", 5, "-o", "out").code == 0
    found, told = arrays("out"), card("out")
    assert len(set(found["ids"].tolist())) == len(found["ids"])
    counts = [np.bincount(found["labels"][found["splits"] == s]) for s in ("train", "test")]
    assert [set(each.tolist()) for each in counts] == [{10}, {5}]
    assert told["drawn"].startswith("all parts are drawn from the one split")
    assert len(told["source"]["sha256"]) == 1
    assert ("groups" in found) == (words != "alone")
    if words == "alone":
        assert told["groups"] == "the source gives none"
        assert found["images"].shape == (60, 9, 9, 1)
    else:
        of = [set(found["groups"][found["splits"] == s].tolist()) for s in ("train", "test")]
        assert not of[0] & of[1]


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["films", "--train", 0], "--train is 0", "take 1 or more"),
        (["films", "--test", -2], "--test is -2", "take 1 or more"),
        (["films", "--validation", -1], "--validation is -1", "take 0 or more"),
        (["films", "--size", -1], "--size is -1", "take 1 to 1024 pixels"),
        (["films", "--size", 1025], "--size is 1025", "take 1 to 1024 pixels"),
        (["films", "--classes", 1], "--classes is 1", "needs two or more"),
        (["films", "--classes", -3], "--classes is -3", "needs two or more"),
        (["films", "--classes", 5], "--classes is 5, my-films has 4 classes", "0 takes all"),
        (["films", "--class", "cat"], "--class cat is one class", "needs two or more"),
        (["films", "--class", "cat", "--class", "cat"], "cat is given twice", "drop one"),
        (
            ["films", "--class", "cat", "--class", "dgo"],
            "my-films has no class 'dgo'",
            "did you mean 'dog'?",
        ),
        (
            ["films", "--class", "cat", "--class", "dog", "--classes", 2],
            "--classes and --class do not go together",
            "drop one",
        ),
        (
            ["films", *FEW, "--train", 36],
            "class 'cat' of my-films, split train has 40 images, wanted 41 "
            "(5 validation + 36 train)",
            "take fewer",
        ),
        (
            ["films", *FEW, "--train", 34, "--validation", 6],
            "class 'cat' of my-films, split train: 5 images for validation where groups are kept "
            "together, wanted 6",
            "take fewer",
        ),
        (["films", *FEW, "--test", 11], "'cat' of my-films, split test has 10 images", "fewer"),
        (["flims"], "there is no dataset plugin 'flims'", "did you mean 'films'?"),
        (["{ plugin = 'flims' }"], "unknown dataset plugin 'flims'", "did you mean 'films'?"),
        (["{ plugin = 'films', sid = 3 }"], "takes no argument 'sid'", "did you mean 'side'?"),
        (["{ plugin = films }"], "is no table", "write it as in a config"),
        (
            ["{ plugin = 'alone', wide = 8 }", *FEW, "--size", 5],
            "an image of alone has 8x9 pixels and is not square",
            "--size 0",
        ),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(
    prepare: Run, words: list[object], message: str, hint: str
) -> None:
    answer = prepare(*words, "-o", "out")
    assert (answer.code, answer.out) == (2, "")
    first, second = answer.err.splitlines()
    assert message in first
    assert second.startswith("hint: ")
    assert hint in second
    assert not Path("out").exists()


def test_data_that_is_not_there_is_the_line_of_its_plugin(run_cli: Run) -> None:
    data = "{ plugin = 'gtsrb', download = false }"
    answer = run_cli("data", "prepare", data, "-o", "out", "--data-dir", "nothing")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: gtsrb is not in nothing/gtsrb\nhint: ")


def test_a_folder_in_use_is_refused_and_force_writes_over(prepare: Run) -> None:
    Path("out").mkdir()
    Path("out/notes.txt").write_text("mine")
    answer = prepare("films", *FEW, "-o", "out")
    assert answer.code == 2
    assert answer.err.startswith("error: out is not empty: notes.txt is in it\nhint: --force ")
    assert prepare("films", *FEW, "-o", "out", "--force").code == 0
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "card.json",
        "images.npz",
        "notes.txt",
    ]
    answer = prepare("films", *FEW, "-o", "out/notes.txt", "--force")
    assert (answer.code, answer.err.splitlines()[0]) == (2, "error: out/notes.txt is a file")


def test_a_write_that_fails_leaves_the_set_that_was_there(
    prepare: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert prepare("films", *FEW, "-o", "out").code == 0
    before = {path.name: path.read_bytes() for path in Path("out").iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        answer = prepare("films", *FEW, "--seed", 1, "-o", "out", "--force")
    assert answer.code == 2
    assert "No space left on device" in answer.err
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == before
