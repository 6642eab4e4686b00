"""Pairs of patches, and the PSNR of papers."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from superdef_bench import ConfigError, DataError, load_dataset, resize
from superdef_bench.nn.quality import luma, psnr_y
from superdef_bench.training.photographs import (
    Photographs,
    dataset_photographs,
    read_photographs,
    shrink,
)


@pytest.fixture(scope="module")
def photographs(photo_folder: Path) -> Photographs:
    return read_photographs(photo_folder, 2)


def noise(path: Path, size: tuple[int, int], seed: int = 0) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_small_patch_is_its_large_one_made_smaller(photo_folder: Path, scale: int) -> None:
    pairs = read_photographs(photo_folder, scale)
    small, large = pairs.patches(24, 20, seed=1)
    assert small.shape == (24, 3, 20, 20)
    assert large.shape == (24, 3, 20 * scale, 20 * scale)
    again = resize(large, (20, 20)).clamp(0.0, 1.0)
    inside = (slice(None), slice(None), slice(4, -4), slice(4, -4))
    # Away from the border, where the patch lacks its neighbours, only rounding is between them.
    assert (again - small)[inside].abs().max() <= 0.51 / 255


def test_patches_depend_on_their_seed_alone_and_come_in_every_turn(
    photographs: Photographs,
) -> None:
    first, second = photographs.patches(8, 16, seed=3), photographs.patches(8, 16, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], photographs.patches(8, 16, seed=4)[0])
    ramp = torch.arange(16 * 16).view(1, 16, 16).expand(3, -1, -1).to(torch.uint8)
    one = Photographs("ramp", "", ["ramp"], [ramp], [shrink(ramp, 2)], 2)
    corners = {tuple(x[0, [0, 0, -1], [0, -1, 0]].tolist()) for x in one.patches(200, 8, seed=0)[1]}
    assert len(corners) == 8


def test_small_images_are_those_of_matlab_away_from_borders(repository: Path) -> None:
    files = sorted((repository / "data/sr-test/Set5").glob("*_HR.png"))
    if not files:
        pytest.skip("data/sr-test is not there")
    for file in files:
        large, small = (
            torch.from_numpy(np.array(Image.open(place).convert("RGB"))).permute(2, 0, 1)
            for place in (file, Path(str(file).replace("_HR", "_LR")))
        )
        apart = (shrink(large, 2).int() - small.int()).abs()[:, 3:-3, 3:-3]
        # MATLAB rounds to 8 bits after each of the two directions.
        assert apart.max() <= 2
        assert apart.float().mean() < 0.2


# Published bicubic results x2 (Zhang et al., ECCV 2018, among many).
@pytest.mark.parametrize(
    ("name", "published"), [("Set5", 33.66), ("Set14", 30.24), ("BSD100", 29.56)]
)
def test_the_psnr_of_bicubic_is_the_published_one(
    repository: Path, name: str, published: float
) -> None:
    files = sorted((repository / "data/sr-test" / name).glob("*_HR.png"))
    if not files:
        pytest.skip("data/sr-test is not there")
    found = []
    for file in files:
        pair = [Image.open(place) for place in (file, str(file).replace("_HR", "_LR"))]
        large, small = (
            torch.from_numpy(np.atleast_3d(np.array(image))).permute(2, 0, 1)[None].float() / 255
            for image in pair
        )
        found.append(psnr_y(resize(small, (large.shape[-2], large.shape[-1])), large, 2))
    assert float(torch.cat(found).mean()) == pytest.approx(published, abs=0.03)


def test_the_psnr_is_that_of_luma_in_8_bits_without_the_border() -> None:
    reference = torch.full((1, 3, 12, 12), 0.5)
    x = reference.clone()
    x[..., 5, 5] += 10 / 255
    rounded = (torch.tensor([127.5, 137.5]).round() / 255).tolist()
    step = (rounded[1] - rounded[0]) * (65.481 + 128.553 + 24.966) / 255
    expected = -10 * np.log10(step**2 / 64)
    assert float(psnr_y(x, reference, 2)) == pytest.approx(expected, abs=1e-3)
    x[..., 0, :] = 1.0
    assert float(psnr_y(x, reference, 2)) == pytest.approx(expected, abs=1e-3)
    assert float(psnr_y(x, reference, 0)) < expected - 3
    assert float(luma(torch.ones(1, 3, 1, 1))) == pytest.approx(235 / 255)
    assert torch.equal(luma(x[:, :1]), x[:, :1])


def test_a_zip_gives_what_its_folder_gives(photo_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in photo_folder.iterdir():
            archive.write(file, file.name)
        archive.writestr("notes.txt", "no image")
        archive.writestr("__MACOSX/._a.png", "no image either")
    unpacked, zipped = read_photographs(photo_folder, 2), read_photographs(path, 2)
    assert zipped.sha256 == unpacked.sha256
    assert all(map(torch.equal, zipped.large, unpacked.large))


def test_a_dataset_plugin_gives_its_training_images() -> None:
    data = load_dataset("signs", split="validation")
    pairs = dataset_photographs(data, 2)
    assert len(pairs.large) == len(data.ids)
    assert torch.equal(pairs.large[7].float() / 255, data.load([7])[0][0])
    grey = dataset_photographs(load_dataset("signs", split="validation", grey=True), 4)
    assert grey.small[0].shape == (3, 8, 8)


def test_photographs_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere does not exist"):
        read_photographs(tmp_path / "nowhere", 2)
    noise(tmp_path / "a.png", (20, 30))
    with pytest.raises(DataError, match="has 1 images, 2 are needed"):
        read_photographs(tmp_path, 2)
    noise(tmp_path / "b.png", (1, 30))
    with pytest.raises(DataError, match=r"b.png is smaller than 2 pixels"):
        read_photographs(tmp_path, 2)
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "b.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"b.png cannot be read"):
        read_photographs(tmp_path, 2)
    (tmp_path / "c.zip").write_bytes(b"PK nothing")
    with pytest.raises(DataError, match=r"c.zip is no zip"):
        read_photographs(tmp_path / "c.zip", 2)
    noise(tmp_path / "b.png", (33, 21))
    pairs = read_photographs(tmp_path, 2)
    assert [tuple(image.shape) for image in pairs.large] == [(3, 30, 20), (3, 20, 32)]
    with pytest.raises(ConfigError, match="patches of 11 pixels do not fit: the smallest"):
        pairs.check_patch(11)
    with pytest.raises(ConfigError, match="2 of 2 photographs are held out"):
        pairs.split(2)


def test_a_damaged_member_of_a_zip_is_named(photo_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(photo_folder.iterdir()):
            archive.write(file, file.name)
        start = archive.infolist()[1].header_offset
    content = bytearray(path.read_bytes())
    content[start + 500] ^= 255
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a_brick.png (is damaged|cannot be read)"):
        read_photographs(path, 2)


def test_a_zip_that_cannot_be_unpacked_here_is_one_line(tmp_path: Path) -> None:
    noise(tmp_path / "a.png", (20, 30))
    path = tmp_path / "locked.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("a.png", "b.png"):
            archive.write(tmp_path / "a.png", name)
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the bit that says encrypted
        start = content.find(mark)
        while start >= 0:
            content[start + place] |= 1
            start = content.find(mark, start + 4)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a.png cannot be read: .*encrypted"):
        read_photographs(path, 2)


def test_the_parts_of_a_split_have_hashes_of_their_own(photographs: Photographs) -> None:
    hashes = {part.sha256 for holdout in (1, 2) for part in photographs.split(holdout)}
    assert len(hashes | {photographs.sha256}) == 5
    train, held_out = photographs.split(2)
    assert held_out.names == ["z_chelsea.png", "z_rocket.jpg"]
    assert len(train.large) == len(train.small) == len(train.names) == 5
