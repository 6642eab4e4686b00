"""A few photographs to look at."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from superdef_bench import ConfigError, DataError, load_dataset
from superdef_bench.testing import check_dataset
from tests.support.commands import Answer


def test_they_are_middle_squares_of_four_photographs() -> None:
    data = load_dataset("photos", size=64)
    assert [check for check in check_dataset(data) if check[1]] == []
    assert list(data.ids) == ["astronaut", "chelsea", "coffee", "rocket"]
    images, labels = data.load([2, 1])
    assert images.shape == (2, 3, 64, 64)
    assert [data.class_names[int(label)] for label in labels] == ["espresso", "Egyptian cat"]
    with pytest.raises(ConfigError, match="size is 301"):
        load_dataset("photos", size=301)


def test_without_scikit_image_the_command_that_installs_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [each for each in sys.modules if each.partition(".")[0] == "skimage"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if "site-packages" not in p])
    with pytest.raises(DataError, match="scikit-image is not installed") as caught:
        load_dataset("photos")
    assert caught.value.hint == "pip install 'superdef-bench[photos]'"


def test_a_defense_is_applied_to_them(run_cli: Callable[..., Answer]) -> None:
    answer = run_cli("apply", "bicubic_x2", "--dataset", "photos", "-o", "out")
    assert answer.code == 0, answer.err
    written = sorted(Path("out").iterdir())
    assert [file.name for file in written][:2] == [
        "astronaut-bicubic_x2.png",
        "chelsea-bicubic_x2.png",
    ]
    with Image.open(written[0]) as opened:
        assert opened.size == (448, 448)
    again = run_cli("apply", "bicubic_x2", "--dataset", "photos", "-o", "out")
    assert again.code == 2
    assert "exists already, and 3 more" in again.err


def test_files_and_a_dataset_go_together_and_at_most_sixteen_of_it(
    run_cli: Callable[..., Answer], tmp_path: Path
) -> None:
    pixels = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    Image.fromarray(pixels).save(tmp_path / "mine.png")
    words = ("--dataset", "signs", tmp_path / "mine.png", "--bits", "3", "-o", tmp_path / "out")
    answer = run_cli("apply", "bit_depth", *words)
    assert answer.code == 0, answer.err
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert len(names) == 17
    assert "mine-bit_depth.png" in names
    first = load_dataset("signs")
    expected = (first.load([0])[0][0] * 7).round() / 7
    (file,) = [n for n in names if n.startswith(first.ids[0].replace("/", "_"))]
    with Image.open(tmp_path / "out" / file) as opened:
        found = np.asarray(opened)
    assert np.array_equal(found, (expected * 255).round().byte().permute(1, 2, 0).numpy())


def test_nothing_to_apply_it_to_is_one_line(run_cli: Callable[..., Answer]) -> None:
    answer = run_cli("apply", "jpeg", "-o", "out")
    assert answer.code == 2
    assert answer.err.startswith("error: there is no image to transform\nhint: name image files")
