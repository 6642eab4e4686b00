"""The quality of restored photographs, through the real command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import structural_similarity

from superdef_bench import load_defense
from superdef_bench.leaderboard.quality import PUBLISHED, quality_files
from superdef_bench.measure.photographs import facts
from superdef_bench.nn import architecture, build_network
from superdef_bench.results.schema import QualityResults
from tests.support.commands import Answer
from tests.support.documents import write

Run = Callable[..., Answer]


@pytest.fixture
def pairs(tmp_path: Path, photo_folder: Path) -> Path:
    """Return a folder of two sets, one of a single grey photograph."""
    folder = tmp_path / "pairs"
    for number, file in enumerate(sorted(photo_folder.rglob("*.*"))[:3]):
        picture = Image.open(file).convert("L" if number == 2 else "RGB").crop((0, 0, 64, 48))
        part = folder / ("Grey" if number == 2 else "Two")
        part.mkdir(parents=True, exist_ok=True)
        picture.save(part / f"p{number}_HR.png")
        picture.resize((32, 24), Image.Resampling.BICUBIC).save(part / f"p{number}_LR.png")
    return folder


def image(path: Path) -> torch.Tensor:
    pixels = np.array(Image.open(path))
    channels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return torch.from_numpy(channels)[None].float() / 255


def independent(transform: Any, folder: Path) -> tuple[float, float]:
    """Return mean PSNR and SSIM of a set by numpy and scikit-image alone."""
    values = []
    for file in sorted(folder.glob("*_HR.png")):
        small = image(Path(str(file).replace("_HR", "_LR")))
        planes = []
        for x in (transform(small), image(file)):
            levels = np.rint(x[0].double().numpy() * 255)
            luma = 16 + np.tensordot([65.481, 128.553, 24.966], levels / 255, axes=1)
            planes.append(luma[2:-2, 2:-2])
        error = float(((planes[0] - planes[1]) ** 2).mean())
        settings: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "truncate": 3.4}
        _, whole = structural_similarity(
            *planes, data_range=255, use_sample_covariance=False, full=True, **settings
        )
        values.append((10 * np.log10(255**2 / error), whole[5:-5, 5:-5].mean()))
    peak, alike = np.mean(values, axis=0)
    return float(peak), float(alike)


def test_rows_are_means_over_the_photographs_of_a_set(
    run_cli: Run, pairs: Path, tmp_path: Path
) -> None:
    answer = run_cli("quality", "bicubic_x2", "superdef", "--data", pairs, "-o", "out")
    assert answer.code == 0, answer.err
    assert all(len(line) <= 80 for line in answer.out.splitlines())
    document = json.loads((tmp_path / "out/super-resolution-x2.json").read_text())
    found = {(row["network"], row["dataset"]): row for row in document["quality"]}
    assert [row["n"] for row in document["quality"]] == [1, 1, 2, 2]
    transform: Any = load_defense("bicubic_x2")
    ours = found["bicubic_x2", "Two"]
    peak, alike = independent(transform, pairs / "Two")
    assert ours["psnr"] == pytest.approx(peak, abs=1e-3)
    assert ours["ssim"] == pytest.approx(alike, abs=2e-4)
    table = (tmp_path / "out/super-resolution-x2.md").read_text()
    assert "| network | Grey | Two | parameters | GMAC |" in table
    assert "*published:*" not in table  # that is of Set5, Set14 and BSD100
    check = run_cli("leaderboard", "out/super-resolution-x2.json", "--check")
    assert check.code == 0, check.err
    (tmp_path / "out/super-resolution-x2.md").write_text(table.replace("Grey", "Gray"))
    assert run_cli("leaderboard", "out/super-resolution-x2.json", "--check").code == 1


def test_published_rows_stand_beside_the_sets_that_they_are_of() -> None:
    rows = [
        {"network": "x", "dataset": name, "scale": 2, "psnr": 37.0, "ssim": 0.9, "n": n}
        for name, n in (("Set5", 5), ("Set14", 3))
    ]
    document = {
        "schema": 2,
        "name": "name",
        "scale": 2,
        "provenance": {
            "command": "c",
            "file": "f.json",
            "versions": {},
            "machine": {"processor": "p", "cores": 2, "memory_gib": 4, "device": "cpu"},
        },
        "sets": {"Set5": "0" * 64, "Set14": "1" * 64},
        "networks": {"x": {"params": 1, "gmac": None, "weights_sha256": "2" * 64}},
        "quality": rows,
    }
    table = quality_files(QualityResults.of(document))[".md"].decode()
    assert "| x | 37.00 / 0.9000 | 37.00 / 0.9000 | 1 | – |" in table
    assert "| *published:* bicubic | 33.66 / – | – | – | – |" in table
    rows[0]["n"] = 4
    assert "*published:*" not in quality_files(QualityResults.of(document))[".md"].decode()


def test_weights_on_disk_are_the_shipped_network(run_cli: Run, pairs: Path, tmp_path: Path) -> None:
    from superdef_bench.nn.weights import SHIPPED

    path = next(SHIPPED.glob("superdef_8x48_x2.safetensors"))
    assert run_cli("quality", "superdef", path, "--data", pairs, "-o", "out").code == 0
    rows = json.loads((tmp_path / "out/super-resolution-x2.json").read_text())["quality"]
    assert rows[0]["network"] != rows[1]["network"]
    assert (rows[0]["psnr"], rows[0]["ssim"]) == (rows[1]["psnr"], rows[1]["ssim"])


def test_published_networks_have_the_cost_that_the_table_says() -> None:
    sizes = {"EDSR baseline 16x64": "EDSR", "EDSR 32x256": "EDSR", "RCAN 10x20x64": "RCAN"}
    from superdef_bench.nn import SuperResolution

    for name, _, params, work in PUBLISHED[2][1:]:
        with torch.device("meta"):
            network = build_network(architecture(sizes[name], name.split()[-1], 2))
        counted = facts(SuperResolution(network), 2)
        assert counted["params"] == params
        assert counted["gmac"] == pytest.approx(work, rel=1e-3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bicubic_x2", "--data", "nowhere"], "there is no folder nowhere"),
        (["bicubic_x2", "--data", "empty"], "folder empty has no pairs"),
        (["bicubic_x2", "--data", "alone"], "has no p_LR.png beside it"),
        (["bicubic_x2", "--data", "odd"], "has 33x32 pixels, p_LR.png 16x16"),
        (["bicubic_x2", "--data", "pairs", "--scale", "3"], "is for x2"),
        (["adversarial_training", "--data", "pairs"], "is no input transform"),
        (["jpeg", "--data", "pairs"], "makes an image of another size"),
        (["bicubicx2", "--data", "pairs"], "unknown defense 'bicubicx2'"),
        (["none.safetensors", "--data", "pairs"], "none.safetensors"),
        (["superdef", "superdef", "--data", "pairs"], "network 'superdef' is named twice"),
        (["random_resize_pad", "--data", "pairs"], "is random"),
        (["bicubic_x2", "--data", "tiny"], "is too small"),
        (["bicubic_x2", "--data", "flat"], "restores it without any error"),
        (
            ["jpeg", "--data", "pairs", "--picture", "p.png", "--crop", "0,0,9"],
            "makes an image of another size",
        ),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    run_cli: Run, pairs: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    assert pairs.is_dir()
    sizes: dict[str, dict[str, tuple[int, int]]] = {
        "empty": {},
        "alone": {"HR": (32, 32)},
        "odd": {"HR": (33, 32), "LR": (16, 16)},
        "tiny": {"HR": (12, 12), "LR": (6, 6)},
        "flat": {"HR": (32, 32), "LR": (16, 16)},
    }
    for name, ends in sizes.items():
        (tmp_path / name).mkdir()
        for end, size in ends.items():
            Image.new("RGB", size).save(tmp_path / name / f"p_{end}.png")
    answer = run_cli("quality", *words)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert not (tmp_path / "runs/quality").exists()


def test_damaged_results_are_refused(run_cli: Run, pairs: Path, tmp_path: Path) -> None:
    run_cli("quality", "bicubic_x2", "--data", pairs, "-o", "out")
    path = tmp_path / "out/super-resolution-x2.json"
    document = json.loads(path.read_text())
    del document["quality"][0]["ssim"]
    write(path, document)
    answer = run_cli("leaderboard", path)
    assert answer.code == 2
    assert "are damaged: a row has no 'ssim'" in answer.err
    assert "holds the quality of restored photographs" in run_cli("versus", path, "a", "b").err


def test_a_picture_shows_a_square_of_one_photograph(
    run_cli: Run, pairs: Path, tmp_path: Path
) -> None:
    words = ("--data", pairs, "--picture", "one.png", "--photograph", "Two/p1", "--crop", "8,4,24")
    answer = run_cli("quality", "bicubic_x2", "superdef", *words)
    assert answer.code == 0, answer.err
    sheet = np.array(Image.open(tmp_path / "one.png").convert("RGB"))
    side, gap = 192, 8
    panels = [sheet[gap : gap + side, gap + i * (side + gap) :][:, :side] for i in range(4)]
    large = Image.open(pairs / "Two/p1_HR.png").convert("RGB").crop((8, 4, 32, 28))
    expected = np.array(large.resize((side, side), Image.Resampling.NEAREST))
    np.testing.assert_array_equal(panels[3], expected)
    assert not np.array_equal(panels[1], panels[2])
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--crop", "8,4"), "crop is '8,4'"),
        (("--crop", "0,0,65"), "is not inside p0_HR.png, 64x48 pixels"),
        (("--photograph", "Twoo"), "there is no photograph 'Twoo'"),
    ],
)
def test_a_square_that_is_not_there_is_one_line(
    run_cli: Run, pairs: Path, words: tuple[str, ...], message: str
) -> None:
    base = ("--data", pairs, "--picture", "one.png", "--photograph", "Two/p0")
    answer = run_cli("quality", "bicubic_x2", *base, *words)
    assert answer.code == 2
    assert message in answer.err
