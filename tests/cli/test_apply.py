"""`superdef-bench apply`: one transform on image files."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from superdef_bench import DataError, load_defense, read_picture
from superdef_bench.core.arguments import split_flags
from tests.support.commands import Answer

OWN = """
import torch
from superdef_bench import InputTransform, hookimpl

class Own(InputTransform):
    def __init__(self, *, act="fine"):
        super().__init__()
        self.act = act
    def transform(self, x):
        if self.act == "stop" and x.shape[-1] > 20:
            raise KeyboardInterrupt
        return {"nan": x / 0 * 0, "bright": x + 1, "list": [1]}.get(self.act, x)

class Plain:
    differentiable, stochastic = True, False
    def protect(self, model, task):
        return model

@hookimpl
def register_defenses():
    return {"own": Own, "plain": Plain}
"""


def picture(width: int, height: int, mode: str = "RGB") -> Image.Image:
    numbers = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(numbers).convert(mode)


def pixels(path: Path | str) -> np.ndarray:
    with Image.open(path) as opened:
        assert opened.format == "PNG"
        return np.asarray(opened)


def names(folder: str) -> list[str]:
    return sorted(file.name for file in Path(folder).iterdir())


def png(width: int, height: int, depth: int, body: bytes) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        parts = struct.pack(">I", len(content)), name, content
        return b"".join(parts) + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def test_every_image_is_transformed_at_its_own_size(run_cli: Callable[..., Answer]) -> None:
    picture(33, 21).save("wide.png")
    picture(16, 40, "L").save("grey.bmp")
    answer = run_cli("apply", "jpeg", "wide.png", "grey.bmp", "--quality", 30, "-o", "out")
    assert answer.code == 0, answer.err
    jpeg = load_defense("jpeg", quality=30)
    for name, result in (("wide.png", "out/wide-jpeg.png"), ("grey.bmp", "out/grey-jpeg.png")):
        given = np.atleast_3d(np.asarray(Image.open(name)))
        x = torch.from_numpy(given.copy()).permute(2, 0, 1)[None] / 255
        expected = (jpeg.transform(x)[0] * 255).round().byte().permute(1, 2, 0)  # type: ignore[attr-defined]  # jpeg is a transform
        assert np.array_equal(np.atleast_3d(pixels(result)), expected.numpy())
    first, second, total = answer.out.splitlines()
    assert first.startswith("out/wide-jpeg.png  33x21 -> 33x21  ")
    assert second.startswith("out/grey-jpeg.png  16x40 -> 16x40  ")
    assert total.startswith("2 images in ")
    assert all(line.endswith(" ms") for line in answer.out.splitlines())


def test_a_larger_output_is_native_unless_a_flag_says_otherwise(
    run_cli: Callable[..., Answer],
) -> None:
    picture(10, 6).save("a.png")
    assert "10x6 -> 20x12" in run_cli("apply", "nearest_x2", "a.png", "-o", "x2").out
    assert np.array_equal(pixels("x2/a-nearest_x2.png")[::2, ::2], np.asarray(picture(10, 6)))
    run_cli("apply", "bilinear_x2", "a.png", "-o", "smooth")
    x = torch.from_numpy(np.array(picture(10, 6), dtype=np.float64)).permute(2, 0, 1)[None]
    exact = torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear")[0].permute(1, 2, 0)
    assert (
        np.abs(pixels("smooth/a-bilinear_x2.png") - exact.numpy()).max() <= 0.501
    )  # rounded, not cut off
    back = run_cli("apply", "nearest_x2", "--output=resize_back", "a.png", "--scale", 3, "-o", "b")
    assert "10x6 -> 10x6" in back.out, back.err


def test_a_random_defense_draws_by_seed_and_file_name_alone(run_cli: Callable[..., Answer]) -> None:
    Path("in").mkdir()
    for name in ("a", "b"):
        picture(40, 40).save(f"in/{name}.png")
    words = ("apply", "random_resize_pad")
    assert run_cli(*words, "in", "-o", "both").code == 0
    assert run_cli(*words, "in/b.png", "-o", "alone").code == 0
    assert run_cli(*words, "in/b.png", "-o", "other", "--seed", 1).code == 0
    assert np.array_equal(
        pixels("both/b-random_resize_pad.png"), pixels("alone/b-random_resize_pad.png")
    )
    assert not np.array_equal(
        pixels("both/a-random_resize_pad.png"), pixels("both/b-random_resize_pad.png")
    )
    assert not np.array_equal(
        pixels("alone/b-random_resize_pad.png"), pixels("other/b-random_resize_pad.png")
    )


def test_a_folder_stands_for_its_images(run_cli: Callable[..., Answer]) -> None:
    Path("in/below").mkdir(parents=True)
    picture(8, 8).save("in/b.JPG", "JPEG")
    picture(8, 8).save("in/a.png")
    picture(8, 8).save("in/.hidden.png")
    Path("in/notes.txt").write_text("no image")
    answer = run_cli("apply", "bit_depth", "in", "in/a.png", "-o", "out")
    assert answer.code == 0, answer.err
    assert names("out") == ["a-bit_depth.png", "b-bit_depth.png"]
    empty = run_cli("apply", "bit_depth", "in/below", "-o", "out")
    assert (empty.code, empty.out) == (2, "")
    assert "folder in/below has no images" in empty.err


def test_nothing_is_overwritten_without_force_and_an_input_never(
    run_cli: Callable[..., Answer],
) -> None:
    Path("out").mkdir()
    for name in ("a.png", "b.png", "out/b-bit_depth.png"):
        picture(8, 8).save(name)
    words = ("apply", "bit_depth", "a.png", "b.png", "-o", "out")
    before = Path("out/b-bit_depth.png").read_bytes()
    refused = run_cli(*words)
    assert (refused.code, refused.out) == (2, "")
    assert "out/b-bit_depth.png exists already\nhint: --force overwrites" in refused.err
    assert names("out") == ["b-bit_depth.png"]
    assert run_cli(*words, "--force").code == 0
    assert Path("out/b-bit_depth.png").read_bytes() != before
    given = Path("out/b-bit_depth.png").read_bytes()
    both = ("b.png", "out/b-bit_depth.png")
    answer = run_cli("apply", "bit_depth", *both, "-o", "out", "--force")
    told = answer.err.splitlines()[0]
    assert (answer.code, told) == (2, "error: out/b-bit_depth.png is an input")
    assert Path("out/b-bit_depth.png").read_bytes() == given


def test_several_defenses_go_side_by_side_beside_the_photo(run_cli: Callable[..., Answer]) -> None:
    picture(8, 8).save("photo.png")
    for defense in ("jpeg", "median"):
        assert run_cli("apply", defense, "photo.png", "-o", ".").code == 0
    assert names(".") == ["photo-jpeg.png", "photo-median.png", "photo.png"]


def test_a_name_that_is_no_file_name_stays_in_the_folder(
    run_cli: Callable[..., Answer], plugin_folder: Callable[..., Path]
) -> None:
    picture(8, 8).save("photo.png")
    folder = plugin_folder(OWN.replace('"own": Own', '"of:": lambda name: Own'))
    answer = run_cli("apply", "of:../x y", "photo.png", "-o", "out", "--plugins-dir", folder)
    assert answer.code == 0, answer.err
    assert names("out") == ["photo-of_.._x_y.png"]


def test_two_images_of_one_name_are_refused_before_anything_is_written(
    run_cli: Callable[..., Answer],
) -> None:
    picture(8, 8).save("a.png")
    picture(8, 8).save("a.jpg")
    answer = run_cli("apply", "bit_depth", "a.png", "a.jpg", "-o", "out")
    assert answer.code == 2
    assert "a.png and a.jpg would both become out/a-bit_depth.png" in answer.err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["jpg", "a.png"], "unknown defense 'jpg'"),
        (["none", "a.png"], "defense 'none' is no input transform"),
        (["plain", "a.png"], "defense 'plain' is no input transform"),
        (["jpeg", "a.png", "--qualty", "3"], "no flag '--qualty'\nhint: did you mean '--quality'?"),
        (["jpeg", "a.png", "-q", "3"], "defense 'jpeg' has no flag '-q'"),
        (["jpeg", "a.png", "--quality"], "flag --quality of defense 'jpeg' needs a value"),
        (["jpeg", "a.png", "--quality", "good"], "flag --quality is 'good'\nhint: it takes a whol"),
        (["jpeg", "a.png", "--quality", "0"], "quality is 0, take 1 to 95"),
        (["bicubic_x2", "a.png", "--output", "big"], "hint: it takes 'native', 'resize_back'"),
        (["gaussian_blur", "a.png", "--sigma", "nan"], "'sigma' of defense 'gaussian_blur' is nan"),
        (["jpeg", "--quality", "30"], "there is no image to transform"),
        (["jpeg", "nowhere.png"], "image nowhere.png does not exist"),
        (["median", "dot.png"], "defense 'median' on dot.png (1x1) failed: RuntimeError"),
        (["own", "a.png", "--act", "nan"], "on a.png (9x9) returned no tensor of finite"),
        (["own", "a.png", "--act", "list"], "on a.png (9x9) returned a list, not a tensor"),
        (["own", "a.png", "--act", "bright"], "on a.png (9x9) returned images in [1, 2]"),
        (["jpeg", "a.png", "-o", "a.png/out"], "a.png/out/a-jpeg.png cannot be written"),
    ],
)
def test_a_mistake_is_one_line_and_a_hint(
    run_cli: Callable[..., Answer],
    plugin_folder: Callable[..., Path],
    words: list[str],
    message: str,
) -> None:
    picture(9, 9).point(lambda value: 255 * (value > 127)).save("a.png")
    picture(1, 1).save("dot.png")
    out = [] if "-o" in words else ["-o", "out"]
    answer = run_cli("apply", *words, *out, "--plugins-dir", plugin_folder(OWN))
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert len(answer.err.splitlines()) <= 2
    assert not Path("out").exists()


def test_what_is_done_stays_when_a_later_image_fails_or_the_user_stops(
    run_cli: Callable[..., Answer], plugin_folder: Callable[..., Path]
) -> None:
    picture(8, 8).save("a.png")
    Path("b.png").write_bytes(Path("a.png").read_bytes()[:-40])
    answer = run_cli("apply", "jpeg", "a.png", "b.png", "-o", "out")
    assert answer.code == 2
    assert answer.out.startswith("out/a-jpeg.png  8x8 -> 8x8")
    assert answer.err.startswith("error: image b.png cannot be read: ")
    assert "; 1 of 2 images were written\n" in answer.err
    picture(30, 8).save("b.png")
    words = ("own", "a.png", "b.png", "--act", "stop", "-o", "stopped")
    stopped = run_cli("apply", *words, "--plugins-dir", plugin_folder(OWN))
    assert (stopped.code, names("stopped")) == (130, ["a-own.png"])
    assert stopped.err == "error: stopped; 1 of 2 images were written\n"


def test_a_photo_that_was_taken_sideways_comes_out_upright(run_cli: Callable[..., Answer]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned to the right
    picture(12, 8).save("a.png", exif=exif)
    assert "8x12 -> 8x12" in run_cli("apply", "bit_depth", "a.png", "--bits", 8, "-o", "out").out
    upright = np.rot90(np.asarray(picture(12, 8)), -1)
    assert np.array_equal(pixels("out/a-bit_depth.png"), upright)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.gif", "a.tif", "a.webp", "a.jpg", "a.ppm"])
def test_a_picture_is_read_as_rgb_or_grey(tmp_path: Path, name: str) -> None:
    for mode, expected in (("RGB", "RGB"), ("L", "L"), ("1", "L"), ("P", "RGB")):
        content = io.BytesIO()
        picture(6, 4).convert(mode).save(content, "PNG")
        (tmp_path / "a.png").write_bytes(content.getvalue())
        assert read_picture(tmp_path / "a.png").mode == expected
    picture(6, 4).save(tmp_path / name, lossless=True)
    read = read_picture(tmp_path / name)
    assert (read.mode, read.size) == ("RGB", (6, 4))
    if name.endswith(("png", "bmp", "tif", "webp", "ppm")):
        assert np.array_equal(np.asarray(read), np.asarray(picture(6, 4)))


def test_the_first_frame_of_a_photo_with_previews_is_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    picture(8, 8).save(path, "MPO", save_all=True, append_images=[picture(4, 4)])
    assert read_picture(path).size == (8, 8)


def _damaged(folder: Path) -> dict[str, str]:
    """Write files that cannot be used; return each with what is said of it."""
    picture(6, 4, "RGBA").save(folder / "alpha.png")
    clear = picture(6, 4, "P")
    clear.save(folder / "clear.png", transparency=3)
    picture(6, 4, "CMYK").save(folder / "print.jpg")
    picture(6, 4, "LAB").save(folder / "lab.tif")
    frames = [picture(6, 4), picture(6, 4).transpose(Image.Transpose.ROTATE_180)]
    for name in ("moving.gif", "moving.png", "moving.webp", "pages.tif"):
        frames[0].save(folder / name, save_all=True, append_images=frames[1:])
    (folder / "deep.png").write_bytes(png(6, 4, 16, 4 * (b"\0" + bytes(36))))
    (folder / "deep.ppm").write_bytes(b"P6\n6 4\n65535\n" + bytes(144))
    Image.fromarray(np.zeros((4, 6), np.uint16)).save(folder / "deep.tif")
    Image.fromarray(np.zeros((4, 6), np.float32)).save(folder / "float.tif")
    (folder / "huge.png").write_bytes(png(10_000, 10_000, 8, b""))
    (folder / "bomb.png").write_bytes(png(90_000, 90_000, 8, b""))
    (folder / "empty.png").write_bytes(b"")
    (folder / "script.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    picture(64, 64).save(folder / "short.jpg")
    whole = (folder / "short.jpg").read_bytes()
    (folder / "short.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "pipe.png")
    moving = dict.fromkeys(["moving.gif", "moving.png", "moving.webp", "pages.tif"], "has 2 frames")
    deep = ("deep.png", "deep.ppm", "deep.tif", "float.tif")
    return {
        **dict.fromkeys(["alpha.png", "clear.png"], "has an alpha channel or a transparent"),
        "print.jpg": "has colours of mode CMYK",
        "lab.tif": "has colours of mode LAB",
        **moving,
        **dict.fromkeys(deep, "has more than 8 bits per channel"),
        **dict.fromkeys(["huge.png", "bomb.png"], "has more than 89,478,485 pixels"),
        **dict.fromkeys(["empty.png", "script.png"], "cannot be read: it is empty, damaged"),
        "short.jpg": "cannot be read: image file is truncated",
        "folder.png": "is no file",
        "pipe.png": "cannot be read: it is a pipe, not a file",
        "nothing.png": "does not exist",
    }


def test_a_file_that_would_lose_something_is_refused_by_name(tmp_path: Path) -> None:
    for name, why in _damaged(tmp_path).items():
        with pytest.raises(DataError) as caught:
            read_picture(tmp_path / name)
        assert caught.value.message.startswith(f"image {tmp_path / name} {why}"), name
        assert "\n" not in caught.value.message


def test_flags_take_what_annotations_say() -> None:
    def factory(*, a: int | None = 3, b: float = 0.0, c: bool = False, d: str = "") -> None:
        pass

    words = ["x", "--a", "none", "--b=-1e-3", "y=z", "--c", "--d", "3"]
    found, others = split_flags(factory, words, "it")
    assert found == {"a": None, "b": -1e-3, "c": True, "d": "3"}
    assert others == ["x", "y=z"]
    assert split_flags(factory, ["--a", "4", "--c=false"], "it")[0] == {"a": 4, "c": False}
