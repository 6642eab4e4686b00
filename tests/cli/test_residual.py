"""`superdef-bench residual`: text from a map."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.commands import Answer

Run = Callable[..., Answer]
DATA = Path(__file__).parents[1] / "data"
MAP, TEXT = DATA / "map.png", DATA / "map-text.png"


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"))


def test_three_pictures_and_how_much_was_found(run_cli: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    answer = run_cli(
        "residual", str(MAP), "-o", str(out), "--iterations", "16", "--known", str(TEXT)
    )
    assert answer.code == 0, answer.err
    names = [f"map-{part}.png" for part in ("drawn", "left", "text", "strip")]
    assert answer.out.split()[:4] == [str(out / name) for name in names]
    drawn, left, text, strip = (pixels(out / name) for name in names)
    assert np.array_equal(strip[:, -128:], text)
    assert drawn.shape == left.shape == text.shape == pixels(MAP).shape
    assert set(np.unique(text)) <= {0, 255}
    # What is drawn and what is left make the map again.
    again = drawn.astype(float) + 2 * (left.astype(float) - 127.5)
    assert np.abs(again - pixels(MAP)).max() <= 2
    rows = [line.split("│")[1].strip() for line in answer.out.splitlines() if line.startswith("│")]
    assert rows == ["a blur", "2", "4", "6", "8", "10", "12", "14", "16"]
    answer = run_cli("residual", str(MAP), "-o", str(out), "--iterations", "1")
    assert answer.code == 2
    assert "map-drawn.png exists already" in answer.err
    assert run_cli("residual", str(MAP), "-o", str(out), "--iterations", "1", "--force").code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((MAP, "--iterations", "0"), "iterations is 0"),
        ((MAP, "--threshold", "1.5"), "threshold is 1.5"),
        (("no.png",), "image no.png does not exist"),
        ((), "one map in a file, or maps drawn by code"),
        ((MAP, "--drawn", "2"), "one map in a file, or maps drawn by code"),
        ((MAP, "--known", "small.png"), "the known text is 8x8, the map 128x128"),
        (("small.png",), "8x8 is too small"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    run_cli: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[object, ...],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("L", (8, 8), 255).save("small.png")
    answer = run_cli("residual", *map(str, words), "-o", "out")
    assert answer.code == 2
    assert told in answer.err
    assert not Path("out").exists()


def test_maps_drawn_by_code_know_their_text(run_cli: Run, tmp_path: Path) -> None:
    answer = run_cli("residual", "--drawn", "1", "--iterations", "2", "-o", str(tmp_path))
    assert answer.code == 0, answer.err
    assert {"plan-0-text.png", "aerial-0-strip.png"} <= {file.name for file in tmp_path.iterdir()}
    assert "plan: a blur" in answer.out
    assert "aerial: 2" in answer.out
