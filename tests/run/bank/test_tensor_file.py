"""Files of torch.save are read as data: what is no tensor and no plain fact is refused."""

import copy
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from superdef_bench.core.errors import DataError
from superdef_bench.run.bank.tensor_file import read_tensor_file
from tests.support.pickles import Evil


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    def write(content: Any, **how: Any) -> Path:
        torch.save(content, tmp_path / "it.pt", **how)
        return tmp_path / "it.pt"

    return write


IMAGES = torch.linspace(0, 1, 24).reshape(2, 1, 3, 4)


@pytest.mark.parametrize("packed", [True, False], ids=["zip", "old"])
def test_a_bare_tensor_and_a_dict_are_read(written: Callable[..., Path], packed: bool) -> None:
    how = {"_use_new_zipfile_serialization": packed}
    bare = read_tensor_file(written(torch.nn.Parameter(IMAGES), **how))
    assert torch.equal(bare.tensors["adv_complete"], IMAGES)
    assert not bare.tensors["adv_complete"].requires_grad
    assert bare.facts == {}
    facts = {"eps": "8/255", "seed": 0, "ids": ["a", "b"], "arguments": {"steps": 3, "deep": [1]}}
    content = {"adv_complete": IMAGES, "labels": torch.arange(2), **facts}
    whole = read_tensor_file(written(content, **how))
    assert (set(whole.tensors), whole.facts) == ({"adv_complete", "labels"}, facts)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"x_adv": IMAGES}, "holds no tensor under 'adv_complete'"),
        ([IMAGES], "holds no tensor under 'adv_complete'"),
        ({"adv_complete": [1.0]}, "holds no tensor under 'adv_complete'"),
        ({"adv_complete": IMAGES, 3: "three"}, "holds str under '3'"),
        ({"adv_complete": IMAGES, "more": [IMAGES]}, "holds list under 'more'"),
        ({"adv_complete": IMAGES.to_sparse()}, "no dense tensor"),
        ({"adv_complete": torch.zeros(1, 3, 1, 1).expand(10**6, 3, 99, 99)}, "no dense tensor"),
        ({"adv_complete": torch.zeros(2, 3, 4, 4, device="meta")}, "no dense tensor"),
    ],
)
def test_what_is_no_file_of_examples_is_refused(
    written: Callable[..., Path], content: Any, why: str
) -> None:
    with pytest.raises(DataError) as error:
        read_tensor_file(written(content))
    assert error.value.message.startswith("file of examples ")
    assert why in error.value.message
    assert "\n" not in error.value.message


def test_code_is_refused_and_never_runs(written: Callable[..., Path], tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    with pytest.raises(DataError, match="can run code: refused"):
        read_tensor_file(written({"adv_complete": IMAGES, "more": Evil(marker)}))
    assert not marker.exists()


def test_missing_empty_cut_and_foreign_files_are_refused(
    written: Callable[..., Path], tmp_path: Path
) -> None:
    path = written({"adv_complete": IMAGES})
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], whole[:-1], b"\x80\x02]q\x00.", b"<html>"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"^file of examples "):
            read_tensor_file(path)
    with pytest.raises(DataError, match="does not exist"):
        read_tensor_file(tmp_path / "none.pt")
    with pytest.raises(DataError, match="is a folder"):
        read_tensor_file(tmp_path)


def test_what_stands_in_many_places_is_not_walked_for_ever(written: Callable[..., Path]) -> None:
    laughs: list[Any] = [0] * 100
    for _ in range(4):
        laughs = [laughs] * 100
    with pytest.raises(DataError, match="holds list under 'more'"):
        read_tensor_file(written({"adv_complete": IMAGES, "more": laughs}))


@pytest.mark.parametrize("dtype", [torch.complex64, torch.float8_e4m3fn])
def test_types_that_images_cannot_have_are_refused(
    written: Callable[..., Path], dtype: torch.dtype
) -> None:
    with pytest.raises(DataError, match="no dense tensor"):
        read_tensor_file(written({"adv_complete": IMAGES, "seconds": torch.ones(2).to(dtype)}))


def test_parts_that_overlap_are_refused(written: Callable[..., Path], tmp_path: Path) -> None:
    """One record of a zip may be listed twice: read, each takes memory of its own."""
    path = written({"adv_complete": IMAGES, **{f"t{n}": torch.rand(999) for n in range(2)}})
    with zipfile.ZipFile(path) as archive:
        names = [i.filename for i in archive.infolist() if i.file_size == 999 * 4]
        content = {i.filename: archive.read(i) for i in archive.infolist()}
    with zipfile.ZipFile(tmp_path / "twice.pt", "w") as archive:
        for name, data in content.items():
            if name != names[1]:
                archive.writestr(name, data)
        again = copy.copy(archive.getinfo(names[0]))
        again.filename = again.orig_filename = names[1]
        archive.filelist.append(again)
    with pytest.raises(DataError, match="overlap"):
        read_tensor_file(tmp_path / "twice.pt")


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_a_file_of_numpy_is_told_how_it_becomes_one(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"found.{ending}"
    np.save(path, IMAGES.numpy()) if ending == "npy" else np.savez(path, IMAGES.numpy())
    with pytest.raises(DataError, match="one of NumPy") as raised:
        read_tensor_file(path)
    assert "torch.from_numpy" in str(raised.value.hint)
    path.unlink()
    with pytest.raises(DataError, match="does not exist"):
        read_tensor_file(path)
