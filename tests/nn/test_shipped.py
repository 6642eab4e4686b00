"""The weights that come with the package."""

from pathlib import Path

import pytest
import torch

from superdef_bench.measure.networks import networks_of
from superdef_bench.measure.photographs import quality_rows, sets_of
from superdef_bench.nn import build_network
from superdef_bench.nn.weights import SHIPPED, load_weights, read_provenance

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
        if r["kind"] != "classifier"  # a model names its file
    ]
    assert len(set(keys)) == len(keys)
    assert sum(record["bytes"] for record in records) < 16e6


def test_shipped_networks_restore_photographs_far_better_than_bicubic(repository: Path) -> None:
    place = repository / "data/sr-test/Set5"
    if not place.is_dir():
        pytest.skip("data/sr-test is not there")
    networks = networks_of(["bicubic_x2", *_NETWORKS], 2, torch.device("cpu"))
    rows = list(quality_rows(networks, sets_of(str(place)), 2))
    bicubic, *found = (row["psnr"] for row in rows)
    assert len(found) == len(_NETWORKS)
    assert min(found) > bicubic + 2.5
    by_name = dict(zip(_NETWORKS, found, strict=True))
    # The bars of networks that were trained on a CPU, and what a teacher is for.
    assert by_name["edsr"] >= 36.6
    assert by_name["superdef"] >= 36.4
    assert by_name["rcan"] > by_name["superdef_no_kd"]
