"""ONNX files as torch networks, and as endpoints where they cannot be one."""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from superdef_bench import load_model
from superdef_bench.core.errors import DataError, SuperdefError
from tests.support.commands import Answer

RUN = """
[run]
dataset = "signs"
model = {{ plugin = "onnx", path = "net.onnx", endpoint = {endpoint} }}
limit = 2
batch_size = 2
masking = 0

[attacks]
fgsm = {{ rungs = ["gray_box", "transfer"] }}

[transfer]
surrogates = ["model:signs_resnet14"]
"""


def write(path: Path, *, operator: str = "Relu", opset: int = 17, batch: int | str = "n") -> Path:
    """Write a small classifier of 20 classes."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnx2torch")
    pytest.importorskip("onnxruntime")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    generator = torch.Generator().manual_seed(0)
    weights = [
        onnx.numpy_helper.from_array(torch.randn(shape, generator=generator).numpy(), name)
        for name, shape in (("kernel", (4, 3, 3, 3)), ("head", (4, 20)))
    ]
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node(operator, ["a"], ["b"]),
        helper.make_node("GlobalAveragePool", ["b"], ["c"]),
        helper.make_node("Flatten", ["c"], ["d"]),
        helper.make_node("MatMul", ["d", "head"], ["y"]),
    ]
    value = helper.make_tensor_value_info
    ends = [value("x", kind, [batch, 3, 32, 32])], [value("y", kind, [batch, 20])]
    graph = helper.make_graph(nodes, "net", *ends, weights)
    opsets = [helper.make_opsetid("", opset)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


@pytest.mark.parametrize("opset", [13, 17])
@pytest.mark.parametrize("batch", ["n", 1])
def test_a_graph_becomes_a_network_with_a_gradient(
    tmp_path: Path, opset: int, batch: int | str
) -> None:
    file = write(tmp_path / "net.onnx", opset=opset, batch=batch)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    network: Any = load_model("onnx", path=str(file), sha256=sha256)
    endpoint: Any = load_model("onnx", path=str(file), endpoint=True)
    x = torch.rand(3, 3, 32, 32, requires_grad=True)
    assert torch.allclose(network(x), endpoint(x), atol=1e-4)
    assert network(x).requires_grad
    assert (endpoint(x).requires_grad, endpoint.differentiable) == (False, False)
    assert bytes(network.file_sha256.tolist()).hex() == sha256


def test_a_missing_operator_makes_an_endpoint_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "net.onnx", operator="Mish", opset=18)
    model: Any = load_model("onnx", path=str(file))
    assert model.differentiable is False
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 20)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note:")]
    assert len(said) == 1
    assert "is an endpoint, for transfer and black_box alone" in said[0]
    assert "Mish" in said[0]


def test_other_answers_make_an_endpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "net.onnx")
    wrong = torch.nn.Sequential(torch.nn.AvgPool2d(32), torch.nn.Flatten(), torch.nn.Linear(3, 20))
    monkeypatch.setattr("onnx2torch.convert", lambda graph: wrong)
    model: Any = load_model("onnx", path=str(file))
    assert model.differentiable is False
    assert "its logits differ by" in capsys.readouterr().err


def test_what_is_no_classifier_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="takes exactly 5 images at once"):
        load_model("onnx", path=str(write(tmp_path / "five.onnx", batch=5)))
    (tmp_path / "junk.onnx").write_bytes(b"\x08\x01junk")
    with pytest.raises(DataError, match=r"junk\.onnx is no ONNX that onnxruntime runs"):
        load_model("onnx", path=str(tmp_path / "junk.onnx"))
    with pytest.raises(DataError, match="has sha256"):
        load_model("onnx", path=str(tmp_path / "five.onnx"), sha256="0" * 64)


def test_without_a_library_the_command_to_install_it_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    (tmp_path / "net.onnx").write_bytes(b"a")
    with pytest.raises(SuperdefError, match="onnx needs onnx") as error:
        load_model("onnx", path=str(tmp_path / "net.onnx"))
    assert error.value.hint == "pip install 'superdef-bench[onnx]'"


@pytest.mark.parametrize("endpoint", ["true", "false"])
def test_it_is_benchmarked(
    run_cli: Callable[..., Answer], config: Callable[..., Path], tmp_path: Path, endpoint: str
) -> None:
    write(tmp_path / "net.onnx")
    answer = run_cli("run", config(RUN.format(endpoint=endpoint)), "-o", "out")
    assert answer.code == 0, answer.err
    assert ("the classifier gives no gradient" in answer.out) == (endpoint == "true")
