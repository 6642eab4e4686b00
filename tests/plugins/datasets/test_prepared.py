"""Dataset `prepared` reads what `data prepare` wrote, and nothing else."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from superdef_bench import ConfigError, DataError, load_dataset
from superdef_bench.io.seal import seal
from superdef_bench.subset.files import Arrays, write_prepared
from superdef_bench.testing import check_dataset
from superdef_bench.training import splits_of
from tests.support.commands import CONFIG, Answer
from tests.support.films import FILMS

Run = Callable[..., Answer]
COUNTS = {"train": 30, "validation": 5, "test": 8}


@pytest.fixture
def out(run_cli: Run, plugin_folder: Callable[[str], Path]) -> Path:
    """Return the folder of a prepared set."""
    words = [word for part, count in COUNTS.items() for word in (f"--{part}", count)]
    folder = plugin_folder(FILMS)
    answer = run_cli("data", "prepare", "films", *words, "-o", "out", "--plugins-dir", folder)
    assert answer.code == 0, answer.err
    return Path("out").absolute()


def prepared(out: Path, **arguments: str) -> Any:
    return load_dataset("prepared", path=str(out), **arguments)


def test_every_split_comes_back_balanced_and_keeps_its_contract(out: Path) -> None:
    with np.load(out / "images.npz", allow_pickle=False) as file:
        images, ids, splits = file["images"], file["ids"].tolist(), file["splits"].tolist()
    for split, count in COUNTS.items():
        data = prepared(out, split=split)
        assert [check for check in check_dataset(data) if check[1]] == []
        assert (data.name, data.split, data.num_classes) == ("my-films (4 classes)", split, 4)
        assert data.class_names == ["cat", "dog", "eel", "fox"]
        x, y = data.load(range(len(data.ids)))
        assert x.shape == (4 * count, 3, 12, 12)
        assert y.tolist() == [0, 1, 2, 3] * count
        source = load_dataset("films", split="test" if split == "test" else "train")
        for row, name in enumerate(data.ids):
            place = next(n for n, each in enumerate(ids) if (splits[n], each) == (split, name))
            pixels = (x[row] * 255).round().byte().permute(1, 2, 0).numpy()
            assert np.array_equal(pixels, images[place])
            assert torch.equal(source.load([source.ids.index(name)])[0][0], x[row])
        assert data.groups == [name.rpartition("/")[0] for name in data.ids]
    assert len({prepared(out, split=split).sha256 for split in COUNTS}) == 3
    assert prepared(out).split == "test"


def test_a_classifier_is_trained_on_it_and_attacked_on_it(
    run_cli: Run, config: Callable[..., Path], out: Path
) -> None:
    table = "{ plugin = 'prepared', path = 'out' }"
    words = ("--epochs", 1, "--batch-size", 16, "--width", 8)
    answer = run_cli("train", "classifier", "--data", table, *words, "-o", "trained")
    assert answer.code == 0, answer.err
    weights = "trained/my_films_4_classes_resnet8.safetensors"
    assert Path(weights).is_file()
    model = (
        f'{{ plugin = "checkpoint", path = "{weights}", architecture = "resnet8", '
        "num_classes = 4, width = 8 }"
    )
    text = CONFIG.replace('"signs"', '{ plugin = "prepared", path = "out", split = "test" }')
    answer = run_cli("run", config(text.replace('"signs_resnet8"', model)))
    assert answer.code == 0, answer.err
    document = json.loads(Path("runs/tiny/results.json").read_text())
    assert document["dataset"]["name"] == "my-films (4 classes)"
    assert document["dataset"]["sha256"] == prepared(out).sha256


def test_training_holds_out_films_where_no_validation_images_were_prepared(
    run_cli: Run, out: Path
) -> None:
    folder = out.parent / "plugins_mine"
    words = ("--train", 40, "--validation", 0, "--test", 5, "-o", "two")
    answer = run_cli("data", "prepare", "films", *words, "--plugins-dir", folder)
    assert answer.code == 0, answer.err
    with pytest.raises(ConfigError, match="prepared set two has no split 'validation'") as error:
        load_dataset("prepared", path="two", split="validation")
    assert error.value.hint == "take train, test"
    train, validation, _ = splits_of("{ plugin = 'prepared', path = 'two' }")
    films = [{name.rpartition("/")[0] for name in part.ids} for part in (train, validation)]
    assert not films[0] & films[1]
    assert Counter(len(each) for each in films) == {28: 1, 4: 1}


def test_a_split_that_none_has(run_cli: Run, config: Callable[..., Path], out: Path) -> None:
    text = CONFIG.replace('"signs"', '{ plugin = "prepared", path = "out", split = "dev" }')
    answer = run_cli("run", config(text))
    assert (answer.code, answer.out) == (2, "")
    assert "'split'" in answer.err
    assert "'dev'" in answer.err


def change(out: Path, **entries: object) -> None:
    """Change entries of the card, whose hash is right again."""
    told = json.loads((out / "card.json").read_text())
    (out / "card.json").write_text(json.dumps(seal({**told, **entries})))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda out: (out / "card.json").unlink(), "card out/card.json cannot be read: No such"),
        (lambda out: (out / "card.json").write_text("{"), "card out/card.json is damaged: Expec"),
        (lambda out: (out / "card.json").write_text("[]"), "is damaged: it carries no hash"),
        (
            lambda out: (out / "card.json").write_text(
                (out / "card.json").read_text().replace('"cat"', '"cow"')
            ),
            "the entries of out/card.json are damaged: they are not what their hash was made of",
        ),
        (lambda out: change(out, format=2), "card out/card.json is not of format 1"),
        (lambda out: change(out, class_names="cat"), "card out/card.json is not of format 1"),
        (lambda out: change(out, images={}), "card out/card.json is not of format 1"),
        (lambda out: change(out, images={"sha256": "0" * 64}), "its card card.json says 000000"),
        (lambda out: (out / "images.npz").unlink(), "out/images.npz cannot be read: No such file"),
        (
            lambda out: (out / "images.npz").write_bytes((out / "images.npz").read_bytes()[:-1]),
            "out/images.npz has sha256 ",
        ),
        (lambda out: change(out, class_names=["a", "b"]), "labels that are none of 2 classes"),
    ],
)
def test_what_is_damaged_is_one_line_and_how_to_mend_it(
    run_cli: Run,
    config: Callable[..., Path],
    out: Path,
    harm: Callable[[Path], object],
    message: str,
) -> None:
    harm(out)
    text = CONFIG.replace('"signs"', '{ plugin = "prepared", path = "out" }')
    answer = run_cli("run", config(text))
    assert (answer.code, answer.out) == (2, "")
    error, hint = answer.err.splitlines()
    assert message in error
    assert hint == ("hint: prepare it again: superdef-bench data prepare DATASET -o DIR --force")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="of a prepared set does not exist") as error:
        prepared(tmp_path / "nowhere")
    assert error.value.hint == "superdef-bench data prepare DATASET -o DIR writes one"


def arrays(**changed: np.ndarray) -> Arrays:
    """Return a whole set of four images, but for what is changed."""
    whole = {
        "images": np.zeros((4, 8, 8, 3), np.uint8),
        "labels": np.array([0, 1, 0, 1]),
        "splits": np.array(["train", "train", "test", "test"]),
        "ids": np.array(["a", "b", "a", "b"]),
    }
    return Arrays(**{**whole, **changed})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"images": np.zeros((4, 8, 8, 3), np.float32)}, "its images are float32"),
        ({"images": np.zeros((4, 8, 8, 2), np.uint8)}, "its images are"),
        ({"images": np.zeros((4, 0, 8, 3), np.uint8)}, "its images are"),
        ({"labels": np.array([0, 1, 0, 2])}, "labels that are none of 2 classes"),
        ({"labels": np.array([0, 1, 0, -1])}, "labels that are none of 2 classes"),
        ({"labels": np.array([0, 1])}, "its labels are int64"),
        ({"splits": np.array(["train", "train", "test", "dev"])}, "it has a split 'dev'"),
        ({"ids": np.array(["a", "a", "a", "b"])}, "an id stands twice in a split"),
        ({"ids": np.array(["a", "b", "a", None])}, "pickle"),
        ({"groups": np.array([1, 2, 3, 4])}, "its groups are int64"),
    ],
)
def test_arrays_of_another_kind_are_refused_though_their_hash_is_right(
    tmp_path: Path, changed: dict[str, np.ndarray], message: str
) -> None:
    facts = {"name": "few", "class_names": ["one", "two"]}
    write_prepared(tmp_path, arrays(), facts)
    assert prepared(tmp_path).ids == ["a", "b"]
    write_prepared(tmp_path, arrays(**changed), facts)
    with pytest.raises(DataError, match=message) as error:
        prepared(tmp_path)
    assert "images.npz holds no prepared set" in error.value.message


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    files = write_prepared(tmp_path, arrays(), {"name": "few", "class_names": ["one", "two"]})
    np.savez_compressed(files[0], **{n: a for n, a in vars(arrays()).items() if a is not None})
    content = files[0].read_bytes()
    change(tmp_path, images={"sha256": hashlib.sha256(content).hexdigest()})
    with pytest.raises(DataError, match="holds no prepared set: it is compressed"):
        prepared(tmp_path)
