"""Image files that cannot be used as they are: one line, a hint, exit code 2."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from superdef_bench import load_dataset
from tests.support.commands import CONFIG, Answer

_GREY = Image.new("L", (32, 32), 90)
_RED = Image.new("RGB", (32, 32), (200, 10, 10))


def corrupt(file: Path) -> None:
    file.write_bytes(b"\x89PNG\r\n\x1a\n and no more")


def truncated(file: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(noise).save(file)
    file.write_bytes(file.read_bytes()[:1500])


def deep_grey(file: Path) -> None:
    Image.fromarray(np.full((32, 32), 40_000, np.uint16)).save(file)
    with Image.open(file) as opened:
        assert opened.mode == "I;16"


def png(file: Path, width: int, height: int, depth: int, rows: bytes) -> None:
    """Write an RGB PNG by hand."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def deep_colour(file: Path) -> None:
    png(file, 32, 32, 16, (b"\0" + bytes(32 * 6)) * 32)
    with Image.open(file) as opened:
        assert opened.mode == "RGB"  # Pillow would cut it to 8 bits without a word


def huge(file: Path) -> None:
    png(file, 60_000, 60_000, 8, b"")


def large(file: Path) -> None:
    png(file, 10_000, 9_500, 8, b"")


def cmyk(file: Path) -> None:
    _RED.convert("CMYK").save(file, format="JPEG")


def apng(file: Path) -> None:
    _RED.save(file, save_all=True, append_images=[Image.new("RGB", (32, 32), (0, 90, 0))])


def webp(file: Path) -> None:
    other = [Image.new("RGB", (32, 32), (0, 90, 0))]
    _RED.save(file, format="WEBP", save_all=True, append_images=other)


def gif(file: Path) -> None:
    _GREY.save(file, format="GIF", save_all=True, append_images=[Image.new("L", (32, 32), 9)])


def pages(file: Path) -> None:
    _RED.save(file, format="TIFF", save_all=True, append_images=[_RED, _RED])


def alpha(file: Path) -> None:
    Image.new("RGBA", (32, 32), (200, 10, 10, 128)).save(file)


@pytest.mark.parametrize(
    ("write", "name", "reason", "hint"),
    [
        (corrupt, "x.png", "cannot be read", ""),
        (truncated, "x.png", "cannot be read", "replace it"),
        (deep_grey, "x.png", "more than 8 bits per channel", "8-bit RGB"),
        (deep_colour, "x.png", "more than 8 bits per channel", "8-bit RGB"),
        (huge, "x.png", "pixels", "shrink it"),
        (large, "x.png", "pixels", "shrink it"),
        (cmyk, "x.jpg", "colours of mode CMYK", "8-bit RGB"),
        (apng, "x.png", "2 frames", "8-bit RGB"),
        (webp, "x.webp", "2 frames", "8-bit RGB"),
        (gif, "x.png", "2 frames", "8-bit RGB"),
        (pages, "x.tiff", "3 frames", "8-bit RGB"),
        (alpha, "x.png", "alpha", "without alpha"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_an_image_that_would_be_changed_in_silence_is_refused(
    run_cli: Callable[..., Answer],
    config: Callable[..., Path],
    tmp_path: Path,
    write: Callable[[Path], None],
    name: str,
    reason: str,
    hint: str,
) -> None:
    for label in ("a", "b"):
        (tmp_path / "pictures" / label).mkdir(parents=True)
    write(tmp_path / "pictures" / "a" / name)
    _RED.save(tmp_path / "pictures" / "b" / "y.png")
    text = CONFIG.replace('"signs"', '{ plugin = "imagefolder", path = "pictures" }')
    answer = run_cli("run", config(text))
    assert (answer.code, answer.out) == (2, "")
    lines = answer.err.splitlines()
    assert len(lines) == 2, answer.err
    assert lines[0].startswith(f"error: image pictures/a/{name} ")
    assert reason in lines[0]
    assert lines[1].startswith("hint: ")
    assert hint in lines[1]


def test_palette_grey_and_black_and_white_files_lose_nothing(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    grey, palette = Image.fromarray(ramp), Image.fromarray(ramp).convert("P")
    palette.putpalette([(7 * level) % 256 for level in range(768)])
    grey.save(tmp_path / "a" / "grey.png")
    grey.point(lambda level: 255 * (level > 99)).convert("1").save(tmp_path / "a" / "two.png")
    palette.save(tmp_path / "b" / "palette.png")
    data = load_dataset("imagefolder", path=str(tmp_path))
    pixels = dict(zip(data.ids, (data.load(range(3))[0] * 255).round().numpy(), strict=True))
    assert (pixels["a/grey.png"] == ramp).all()
    assert (pixels["a/two.png"] == 255 * (ramp > 99)).all()
    for channel in range(3):
        expected = (7 * (3 * ramp.astype(int) + channel)) % 256
        assert (pixels["b/palette.png"][channel] == expected).all()


def test_a_damaged_image_far_down_the_list_stops_the_run_with_its_name(
    run_cli: Callable[..., Answer], config: Callable[..., Path], tmp_path: Path
) -> None:
    for label in range(20):
        (tmp_path / "pictures" / f"{label:02d}").mkdir(parents=True)
        for number in range(2):
            _RED.save(tmp_path / "pictures" / f"{label:02d}" / f"{number}.png")
    last = load_dataset("imagefolder", path=str(tmp_path / "pictures")).ids[-1]
    corrupt(tmp_path / "pictures" / last)
    text = CONFIG.replace('"signs"', '{ plugin = "imagefolder", path = "pictures" }')
    answer = run_cli("run", config(text), "--limit", 40)
    assert answer.code == 2, answer.out
    assert f"error: image pictures/{last} cannot be read" in answer.err
