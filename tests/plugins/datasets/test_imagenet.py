"""RobustBench's ImageNet images: the same set, the same pixels, our order."""

import importlib.util
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from superdef_bench import ConfigError, DataError, load_dataset
from tests.support.commands import CONFIG, Answer
from tests.support.plugin_files import plugin_module


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of the whole set: six real JPEGs, the others empty files."""
    spec = importlib.util.find_spec("robustbench")
    assert spec is not None
    assert spec.origin is not None
    folder, lists = tmp_path_factory.mktemp("imagenet"), Path(spec.origin).parent / "helper_files"
    places = (lists / "imagenet_test_image_ids.txt").read_text().split()
    for wnid in (lists / "imagenet_class_to_id_map.json").read_text().split('"')[1::2]:
        (folder / "val" / wnid).mkdir(parents=True)
    for place in places:
        (folder / "val" / place).touch()
    random = np.random.default_rng(0)
    shapes = [(300, 401), (500, 375), (256, 257), (333, 999), (224, 230), (91, 77)]
    for number, (place, shape) in enumerate(zip(places[:6], shapes, strict=True)):
        coarse = random.integers(0, 256, (9, 9, 3), np.uint8)
        picture = Image.fromarray(coarse).resize(shape[::-1], Image.Resampling.BICUBIC)
        if number == 4:
            picture = picture.convert("L")
        if number == 5:
            picture = picture.convert("CMYK")
        picture.save(folder / "val" / place, format="JPEG", quality=90)
    return folder


@pytest.mark.parametrize(
    ("preprocessing", "options"),
    [
        ("Res256Crop224", {}),
        ("BicubicRes256Crop224", {"interpolation": "bicubic"}),
        ("Crop288", {"size": 0, "crop": 288}),
    ],
)
def test_pixels_and_labels_are_those_of_robustbench(
    imagenet: Path, preprocessing: str, options: dict[str, object]
) -> None:
    plugin_module(
        "models.robustbench.autoattack_alias"
    ).install_alias()  # RobustBench imports AutoAttack
    from robustbench.data import PREPROCESSINGS
    from robustbench.loaders import CustomImageFolder

    reference = CustomImageFolder(str(imagenet / "val"), PREPROCESSINGS[preprocessing])
    data = load_dataset("imagenet", path=str(imagenet), **options)
    assert len(data.ids) == len(reference) == 5000
    assert {str(imagenet / "val" / place) for place in data.ids} == {
        p for p, _ in reference.samples
    }
    for number in range(6):
        x, label, path = reference[number]
        place = Path(path).relative_to(imagenet / "val").as_posix()
        images, labels = data.load([list(data.ids).index(place)])
        assert torch.equal(images[0], x), place
        assert labels.tolist() == [label]


def test_prefixes_are_as_balanced_as_the_set_allows(imagenet: Path) -> None:
    data = load_dataset("imagenet", path=str(imagenet / "val"))  # the folder of classes itself
    assert (data.name, data.num_classes, data.class_names[0]) == ("imagenet", 1000, "n01440764")
    total = Counter(place.split("/")[0] for place in data.ids)
    assert len(total) == 997
    for limit in (997, 1000, 2500):
        counts = Counter(place.split("/")[0] for place in data.ids[:limit])
        most = max(counts.values())
        assert all(n >= min(most - 1, total[wnid]) for wnid, n in counts.items())
    assert len({place.split("/")[0] for place in data.ids[:997]}) == 997


def test_the_hash_sees_bytes_and_size(imagenet: Path) -> None:
    first = load_dataset("imagenet", path=str(imagenet))
    assert first.sha256 == load_dataset("imagenet", path=str(imagenet / "val")).sha256
    other = load_dataset("imagenet", path=str(imagenet), size=288)
    bicubic = load_dataset("imagenet", path=str(imagenet), interpolation="bicubic")
    assert len({first.sha256, other.sha256, bicubic.sha256}) == 3


def test_missing_images_are_counted_on_one_line(
    run_cli: Callable[..., Answer], config: Callable[..., Path], imagenet: Path, tmp_path: Path
) -> None:
    wnid = next(folder.name for folder in sorted((imagenet / "val").iterdir()))
    (tmp_path / "some" / wnid).mkdir(parents=True)
    for file in (imagenet / "val" / wnid).iterdir():
        (tmp_path / "some" / wnid / file.name).touch()
    text = CONFIG.replace('"signs"', '{ plugin = "imagenet", path = "some" }')
    answer = run_cli("run", config(text))
    assert (answer.code, answer.out) == (2, "")
    error, hint = answer.err.splitlines()
    there = len(list((tmp_path / "some" / wnid).iterdir()))
    assert error.startswith("error: ImageNet image some/n")
    assert error.endswith(f"is missing: {5000 - there} of 5000 are")
    assert hint.startswith("hint: ")


def test_a_damaged_image_a_missing_folder_and_sizes_that_do_not_fit(imagenet: Path) -> None:
    data = load_dataset("imagenet", path=str(imagenet))
    empty = next(n for n, p in enumerate(data.ids) if not (imagenet / "val" / p).stat().st_size)
    with pytest.raises(DataError, match="cannot be read"):
        data.load([empty])
    with pytest.raises(DataError, match="does not exist"):
        load_dataset("imagenet", path=str(imagenet / "nowhere"))
    with pytest.raises(ConfigError, match="size is 200 and crop is 224"):
        load_dataset("imagenet", path=str(imagenet), size=200)
