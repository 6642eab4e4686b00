"""Images in one folder with a CSV of labels, as the NIPS 2017 adversarial competition has them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from superdef_bench import ConfigError, DataError, load_dataset
from tests.support.commands import CONFIG, Answer

_HEADER = "ImageId,URL,x1,y1,x2,y2,TrueLabel,TargetClass,OriginalLandingURL,License,Author\n"


@pytest.fixture
def nips(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Return a function that writes images and their CSV; it gives the arguments."""

    def write(labels: list[object], text: str = "") -> dict[str, str]:
        folder = tmp_path / "nips" / "images"
        folder.mkdir(parents=True)
        rows = []
        for number, label in enumerate(labels):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"{number:016x}.png")
            author = '"Doe, J.\nand others"'
            rows.append(f"{number:016x},http://x/,0,0,1,1,{label},9,http://y/,CC,{author}\n")
        table = tmp_path / "nips" / "images.csv"
        table.write_text(text or _HEADER + "".join(rows))
        return {"path": str(folder), "labels": str(table)}

    return write


def test_labels_of_the_competition_count_from_one(nips: Callable[..., dict[str, str]]) -> None:
    data = load_dataset("imagefolder", **nips([1, 1000, 1, 7, 7, 7]), num_classes=1000)
    assert (data.num_classes, len(data.class_names)) == (1000, 1000)
    x, y = data.load(range(6))
    assert y.tolist() == [0, 6, 999, 0, 6, 6]
    number = [int(name.removesuffix(".png"), 16) for name in data.ids]
    assert (x[:, 0, 0, 0] * 255).round().int().tolist() == number
    assert [[0, 999, 0, 6, 6, 6][n] for n in number] == y.tolist()


def test_without_a_number_the_largest_label_counts(nips: Callable[..., dict[str, str]]) -> None:
    arguments = nips([0, 4, 2])
    data = load_dataset("imagefolder", **arguments, label_base=0)
    assert (data.num_classes, data.class_names) == (5, ["0", "1", "2", "3", "4"])


def test_classes_name_the_labels_and_may_share_a_name(
    nips: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    (tmp_path / "names.txt").write_text("crane\ncrane\nowl\n")
    arguments = nips([1, 2])
    data = load_dataset("imagefolder", **arguments, classes=str(tmp_path / "names.txt"))
    assert data.class_names == ["crane", "crane", "owl"]
    with pytest.raises(ConfigError, match="num_classes is 4"):
        load_dataset("imagefolder", **arguments, classes=str(tmp_path / "names.txt"), num_classes=4)


def test_columns_and_suffix_can_be_named_and_unlisted_images_stay_out(
    nips: Callable[..., dict[str, str]],
) -> None:
    arguments = nips([1, 1, 1], text="file,class\n0000000000000000.png,b\n")
    text = "file,class\n0000000000000001.png,0\n0000000000000000.png,1\n"
    Path(arguments["labels"]).write_text(text)
    columns = {"image_column": "file", "label_column": "class", "image_suffix": ""}
    data = load_dataset("imagefolder", **arguments, **columns, label_base=0)
    assert data.ids == ["0000000000000001.png", "0000000000000000.png"]
    before = data.sha256
    Path(arguments["labels"]).write_text(text.replace(",1", ",2").replace(",0", ",1"))
    moved = load_dataset("imagefolder", **arguments, **columns, label_base=0)
    assert moved.sha256 != before
    same = load_dataset("imagefolder", **arguments, **columns, label_base=1)
    assert same.sha256 == before


@pytest.mark.parametrize(
    ("labels", "text", "options", "message"),
    [
        ([1, 2, 0], "", {}, r"line 7: label 0 is below 1"),
        ([1, 9], "", {"num_classes": 8}, "label 9 is above the last of 8 classes"),
        ([1, "cat"], "", {}, "TrueLabel is 'cat'"),
        ([1], "", {}, "has 1 classes"),
        ([1, 2], "ImageId,Label\n0,1\n", {}, "has no column 'TrueLabel'"),
        ([1, 2], "ImageId,TrueLabel\n", {}, "lists no images"),
        ([1, 2], "", {"image_suffix": ".jpg"}, "0{16}.jpg of table .* 2 of 2 are"),
        ([1], f"ImageId,TrueLabel\n{0:016x},1\n{0:016x},2\n", {}, "line 3: .* stands twice"),
        ([1], "ImageId,TrueLabel\n../nips,1\n", {}, "lies outside"),
    ],
)
def test_a_table_that_makes_no_sense(
    nips: Callable[..., dict[str, str]],
    labels: list[object],
    text: str,
    options: dict[str, object],
    message: str,
) -> None:
    with pytest.raises(DataError, match=message) as error:
        load_dataset("imagefolder", **nips(labels, text), **options)
    assert "\n" not in error.value.message


def test_a_missing_table_and_a_number_without_one(nips: Callable[..., dict[str, str]]) -> None:
    arguments = nips([1, 2])
    with pytest.raises(DataError, match="cannot be read: No such file"):
        load_dataset("imagefolder", path=arguments["path"], labels="nowhere.csv")
    with pytest.raises(ConfigError, match="num_classes belongs to labels"):
        load_dataset("imagefolder", path=arguments["path"], num_classes=3)


def test_a_model_with_other_classes_is_refused_on_the_command_line(
    run_cli: Callable[..., Answer],
    config: Callable[..., Path],
    nips: Callable[..., dict[str, str]],
) -> None:
    path = nips([1, 2])["path"]
    dataset = (
        f'{{ plugin = "imagefolder", path = "{path}", labels = "nips/images.csv", size = 32 }}'
    )
    answer = run_cli("run", config(CONFIG.replace('"signs"', dataset)))
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.splitlines() == [
        "error: model 'signs_resnet8' has 20 classes, dataset 'images' has 2",
        "hint: take a model that was trained for this dataset",
    ]
