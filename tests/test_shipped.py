"""The weights that come with the package."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from superdef_bench import load_defense, resize
from superdef_bench.nn import build_network
from superdef_bench.quality import psnr_y
from superdef_bench.weights import SHIPPED, load_weights, read_provenance

_FILES = sorted(SHIPPED.glob("*.safetensors"))
_NETWORKS = ("edsr", "rcan", "superdef", "superdef_no_kd")


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_weights_are_those_of_their_provenance(path: Path) -> None:
    record = read_provenance(path)
    assert record["bytes"] == path.stat().st_size
    assert load_weights(path)
    assert {"recipe", "settings", "steps", "validation", "versions"} <= record.keys()
    if record["kind"] in _NETWORKS:
        build_network(record["architecture"]).load_state_dict(load_weights(path))
        # x3 and x4 are there for an ablation, after a few hundred steps.
        least = 1 if record["architecture"]["scale"] == 2 else 0.5
        assert record["validation"]["psnr"] > record["validation"]["bicubic_psnr"] + least
        assert len(record["data"]["sha256"]) == 64


def test_a_defense_finds_one_file_and_all_of_them_are_small() -> None:
    records = [read_provenance(path) for path in _FILES]
    keys = [
        (r["kind"], r["architecture"].get("scale"), str(r.get("task", {}).get("dataset")))
        for r in records
    ]
    assert len(set(keys)) == len(keys)
    assert sum(record["bytes"] for record in records) < 16e6


@pytest.mark.parametrize("name", _NETWORKS)
def test_shipped_networks_restore_photographs_far_better_than_bicubic(
    repository: Path, name: str
) -> None:
    files = sorted((repository / "data/sr-test/Set5").glob("*_HR.png"))
    if not files:
        pytest.skip("data/sr-test is not there")
    defense, gains = load_defense(name), []
    for file in files:
        large, small = (
            torch.from_numpy(np.array(Image.open(place).convert("RGB")))
            .permute(2, 0, 1)[None]
            .float()
            / 255
            for place in (file, Path(str(file).replace("_HR", "_LR")))
        )
        plain = resize(small, (large.shape[-2], large.shape[-1]))
        with torch.no_grad():
            restored = defense.transform(small)  # type: ignore[attr-defined]  # an InputTransform
        gains.append(psnr_y(restored, large, 2) - psnr_y(plain, large, 2))
    assert float(torch.cat(gains).mean()) > 2.5
