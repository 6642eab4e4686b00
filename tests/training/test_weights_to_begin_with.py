"""Weights that a training begins with, and the precision of the files it writes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from superdef_bench.nn import SuperDef, architecture, build_network, load_network
from superdef_bench.nn.weights import load_weights
from superdef_bench.training.artefact import in_half
from superdef_bench.training.photographs import read_photographs
from superdef_bench.training.super_resolution import HeldOut
from tests.support.commands import Answer

Run = Callable[..., Answer]
QUICK = ("--steps", 2, "--holdout", 2, "--patch", 12, "--batch-size", 2, "--average", 0)


@pytest.fixture
def first(run_cli: Run, photo_folder: Path) -> Path:
    words = ("--size", "1x8", "--data", photo_folder, "-o", "first")
    answer = run_cli("train", "edsr", *words, *QUICK)
    assert answer.code == 0, answer.err
    return Path("first/edsr_1x8_x2.safetensors")


def test_a_training_goes_on_from_weights_and_says_from_which(
    run_cli: Run, photo_folder: Path, first: Path
) -> None:
    words = ("--size", "1x8", "--data", photo_folder, "--init", first, "--lr", "1e-12")
    answer = run_cli("train", "edsr", *words, "-o", "second", *QUICK)
    assert answer.code == 0, answer.err
    record = json.loads(Path("second/edsr_1x8_x2.json").read_text())
    earlier = json.loads(first.with_suffix(".json").read_text())
    assert record["settings"]["init"]["sha256"] == earlier["sha256"]
    before, after = load_weights(first), load_weights(Path("second/edsr_1x8_x2.safetensors"))
    # A learning rate next to nothing leaves what it began with.
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, atol=1e-6, rtol=1e-3)
    other = run_cli("train", "edsr", *words[:-4], *words[-2:], "-o", "third", *QUICK)
    assert other.code == 0, other.err
    fresh = load_weights(Path("third/edsr_1x8_x2.safetensors"))
    assert any(
        not torch.allclose(fresh[n].float(), t.float(), atol=1e-3) for n, t in before.items()
    )


def test_a_checkpoint_that_began_elsewhere_is_not_gone_on_from(
    run_cli: Run, photo_folder: Path, first: Path
) -> None:
    words = ("--size", "1x8", "--data", photo_folder, "--init", first, "-o", "first", "--resume")
    answer = run_cli("train", "edsr", *words, *QUICK)
    assert answer.code == 2
    assert "written with other settings" in answer.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("edsr", "--size", "1x16", "--init", "first/edsr_1x8_x2.safetensors"),
            "edsr 1x8, not 1x16",
        ),
        (("edsr", "--scale", "3", "--init", "first/edsr_1x8_x2.safetensors"), "enlarge by 2"),
        (("rcan", "--init", "first/edsr_1x8_x2.safetensors"), "are of 'edsr', not of 'rcan'"),
        (("edsr", "--init", "nothing.safetensors"), "nothing.safetensors does not exist"),
        (("superdef_no_kd", "--init", "first/edsr_1x8_x2.safetensors"), "which are folded"),
    ],
)
def test_weights_that_do_not_fit_are_one_line(
    run_cli: Run, photo_folder: Path, first: Path, words: tuple[str, ...], message: str
) -> None:
    assert first.exists()
    answer = run_cli("train", *words, "--data", photo_folder, "-o", "bad", *QUICK)
    assert answer.code == 2
    assert message in answer.err
    assert not list(Path("bad").glob("*.safetensors"))


def test_a_file_is_in_half_precision_where_that_costs_nothing(photo_folder: Path) -> None:
    held_out = HeldOut.of(read_photographs(photo_folder, 2))
    torch.manual_seed(0)
    network = SuperDef(layers=2, features=16).fold().eval()
    learned = [name for name, _ in network.named_parameters()]
    state, words = in_half(network, learned, held_out)
    assert words["precision"] == "float16"
    assert {tensor.dtype for tensor in state.values()} == {torch.float16}
    # Weights that half precision cannot hold.
    weights = [tensor for name, tensor in network.named_parameters() if name.endswith("weight")]
    with torch.no_grad():
        weights[0].mul_(1e-9)
        weights[1].mul_(1e9)
    state, words = in_half(network, learned, held_out)
    assert words == {"precision": "float32"}
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}


def test_half_precision_is_of_the_file_alone(run_cli: Run, first: Path) -> None:
    record = json.loads(first.with_suffix(".json").read_text())
    assert record["stored"]["precision"] == "float16"
    assert abs(record["stored"]["psnr_lost"]) < 0.01
    network = load_network("edsr", weights=str(first))
    assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.float32}
    # Mean shifts are no learned weights: they stay what they are, to the bit.
    plain = build_network(architecture("EDSR", "1x8", 2)).state_dict()
    for name in ("subtract_mean.bias", "add_mean.bias"):
        assert torch.equal(network.state_dict()[name], plain[name])
