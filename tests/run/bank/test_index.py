"""What a bank holds, told from what stands beside its files, and which of it is meant."""

from pathlib import Path

import pytest
import torch

from superdef_bench.core.errors import ConfigError, DataError
from superdef_bench.run.bank.index import read_index
from superdef_bench.run.bank.transfer import choose, export, put, read_export
from tests.support.kept import keep

OTHER = "5" * 64


def test_an_image_in_two_files_counts_once_and_the_longer_file_is_exported(tmp_path: Path) -> None:
    keep(tmp_path, 8)  # of a run with a smaller limit
    keep(tmp_path, 64)
    keep(tmp_path, 2, start=64)
    (held,) = read_index(tmp_path).holdings
    assert (held.images, len(held.files)) == (66, 3)
    assert export(held, tmp_path / "it.pt") == 66
    found = torch.load(tmp_path / "it.pt", weights_only=True)
    assert found["ids"] == [f"image {number}" for number in range(66)]
    parts = read_export(tmp_path / "it.pt")
    assert [len(part.origin.ids) for part in parts] == [64, 2]
    assert put(parts, tmp_path / "other") == 2


def test_sets_that_differ_are_listed_apart_and_none_is_guessed(tmp_path: Path) -> None:
    keep(tmp_path)
    keep(tmp_path, made_by=OTHER, seed=1)
    index = read_index(tmp_path)
    assert [held.origin.seed for held in index.holdings] in ([0, 1], [1, 0])
    with pytest.raises(DataError, match="2 sets of 'pgd' that differ in arguments, seed or code"):
        choose(index, "pgd")


def test_batches_of_another_size_are_another_set(tmp_path: Path) -> None:
    keep(tmp_path, batch=8)
    keep(tmp_path, batch=16)
    assert sorted(held.origin.batch or 0 for held in read_index(tmp_path).holdings) == [8, 16]


def test_an_attack_without_a_ball_is_exported_without_eps(tmp_path: Path) -> None:
    keep(tmp_path, attack="deepfool", arguments={"plugin": "deepfool"}, eps="", radius=None)
    held = choose(read_index(tmp_path), "deepfool")
    export(held, tmp_path / "it.pt")
    (part,) = read_export(tmp_path / "it.pt")
    assert part.origin.radius is None
    with pytest.raises(ConfigError) as error:
        choose(read_index(tmp_path), "deepfool", eps="8/255")
    assert error.value.hint == "leave --eps out: the attack has no ball"


def test_sources_are_chosen_by_their_row(tmp_path: Path) -> None:
    keep(tmp_path)
    keep(tmp_path, made_by=OTHER, rung="surrogate", source="bicubic_x2 (native)")
    index = read_index(tmp_path)
    assert choose(index, "pgd").origin.bare
    for word in ("bicubic_x2", "bicubic_x2 (native)"):
        assert choose(index, "pgd", source=word).origin.made_by == OTHER
    with pytest.raises(ConfigError) as error:
        choose(index, "pgd", source="jpeg")
    assert error.value.hint == "it holds those on: bare classifier or defense bicubic_x2 (native)"


def test_examples_of_two_datasets_are_not_one_set(tmp_path: Path) -> None:
    keep(tmp_path, 64, dataset_sha256="6" * 64)
    keep(tmp_path, 2, start=64)
    index = read_index(tmp_path)
    assert [held.images for held in index.holdings] in ([64, 2], [2, 64])
    with pytest.raises(DataError, match="2 sets"):
        choose(index, "pgd")


def test_a_radius_that_is_not_its_eps_is_no_origin(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="eps and radius are not the same"):
        keep(tmp_path, eps="4/255")
