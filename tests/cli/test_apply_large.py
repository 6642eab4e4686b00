"""`superdef-bench apply` on images that do not fit as a whole."""

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from superdef_bench import apply, load_defense
from superdef_bench.core.tiles import bands, overlap_of, scale_of
from superdef_bench.core.transform import InputTransform
from tests.support.commands import Answer

DEFENSES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("nearest_x2", {}),
    ("bilinear_x2", {"scale": 4}),
    ("bicubic_x2", {}),
    ("bicubic_x2", {"output": "resize_back"}),
    ("interpolation", {"path": "up_down"}),
    ("jpeg", {"quality": 20}),
    ("bit_depth", {}),
    ("gaussian_blur", {"sigma": 2.0}),
    ("median", {"size": 5}),
    ("feature_squeezing", {"window": 4}),
    ("tv_min", {"keep": 1.0, "iterations": 12}),
    ("superdef", {}),
    ("edsr", {}),
)


def noise(width: int, height: int) -> Image.Image:
    numbers = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(numbers)


@pytest.mark.parametrize(("name", "arguments"), DEFENSES, ids=str)
def test_tiles_give_what_the_whole_image_gives(name: str, arguments: dict[str, Any]) -> None:
    transform = load_defense(name, **arguments)
    assert isinstance(transform, InputTransform)
    overlap = overlap_of(transform)
    assert overlap is not None
    x = torch.rand(1, 3, 83, 139, generator=torch.Generator().manual_seed(0))
    rows = []
    with torch.no_grad():
        whole = transform(x)
        for tiles in bands(139, 83, side=40, overlap=overlap, align=transform.align):
            parts = []
            for tile in tiles:
                left, top, right, bottom = tile.seen
                seen = x[..., top:bottom, left:right]
                out = transform(seen)
                parts.append(tile.keep(out, scale_of(name, seen, out)))
            rows.append(torch.cat(parts, dim=-1))
    assert len(rows) > 1
    assert torch.allclose(torch.cat(rows, dim=-2), whole, rtol=0.0, atol=1e-6)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("name", ["bicubic_x2", "jpeg"])
def test_a_large_image_is_written_as_it_would_be_as_a_whole(
    run_cli: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch, name: str, mode: str
) -> None:
    noise(90, 70).convert(mode).save("a.png")
    assert run_cli("apply", name, "a.png", "-o", "whole").code == 0
    monkeypatch.setattr(apply, "AT_ONCE", 1_000)
    monkeypatch.setattr(apply, "TILE", 33)
    answer = run_cli("apply", name, "a.png", "-o", "tiles")
    assert answer.code == 0, answer.err
    whole, tiles = (Image.open(f"{folder}/a-{name}.png") for folder in ("whole", "tiles"))
    assert whole.mode == tiles.mode == mode
    assert np.array_equal(np.asarray(whole), np.asarray(tiles))


def test_what_needs_the_whole_image_says_how_much_it_takes(
    run_cli: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    noise(90, 70).save("a.png")
    monkeypatch.setattr(apply, "MOST_WHOLE", 6_000)
    answer = run_cli("apply", "wavelet", "a.png", "-o", "out")
    assert (answer.code, answer.out) == (2, "")
    assert "has 6,300 pixels, defense 'wavelet' takes 6,000 at once" in answer.err
    assert "hint: shrink it first" in answer.err
    assert not Path("out").exists()


OWN = """
from superdef_bench import InputTransform, hookimpl

class Odd(InputTransform):
    reach = 1
    def transform(self, x):
        return x[..., :-1, :]

@hookimpl
def register_defenses():
    return {"odd": Odd}
"""


def test_a_reach_that_is_not_kept_is_an_error_of_the_plugin(
    run_cli: Callable[..., Answer],
    monkeypatch: pytest.MonkeyPatch,
    plugin_folder: Callable[..., Path],
) -> None:
    noise(90, 70).save("a.png")
    monkeypatch.setattr(apply, "AT_ONCE", 1_000)
    answer = run_cli("apply", "odd", "a.png", "-o", "out", "--plugins-dir", plugin_folder(OWN))
    assert answer.code == 2
    assert "made 90x69 pixels of a tile of 90x70" in answer.err
    assert not list(Path("out").iterdir())


@pytest.mark.slow
def test_an_image_of_88_megapixels_takes_a_gigabyte_and_a_half_at_most(
    tmp_path: Path, quiet_environment: dict[str, str]
) -> None:
    Image.new("RGB", (9400, 9400), (90, 120, 30)).save(tmp_path / "a.png")
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    words = [sys.executable, "-m", "superdef_bench", "apply", "bicubic_x2", "a.png", "-o", "out"]
    subprocess.run(words, check=True, cwd=tmp_path, env=quiet_environment)
    assert max(before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) < 1.5 * 2**20  # KiB
