"""The super-resolution defenses: weights, options, and what they do to images."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from superdef_bench import ConfigError, DataError, Task, load_defense, resize
from superdef_bench.core.fingerprint import tensors
from superdef_bench.core.loader import load_plugins
from superdef_bench.nn import (
    SuperDef,
    SuperResolution,
    architecture,
    build_network,
    load_network,
    wavelet_denoise,
    weights,
)
from superdef_bench.nn.weights import save_weights
from superdef_bench.testing import check_defense, toy_images, toy_model, toy_task
from tests.support.commands import Answer, records
from tests.support.networks import randomised

KINDS = {
    "edsr": ("EDSR", "2x8"),
    "rcan": ("RCAN", "2x2x16"),
    "superdef": ("SuperDef", "8x12"),
    "superdef_no_kd": ("SuperDef", "8x12"),
}


def save(
    folder: Path, kind: str, *, size: str = "", scale: int = 2, seed: int = 0, name: str = ""
) -> Path:
    """Write an artefact as the recipe of `kind` does."""
    described = architecture(KINDS[kind][0], size or KINDS[kind][1], scale)
    network = randomised(build_network(described), seed)
    if isinstance(network, SuperDef):
        network, described = network.fold(), {**described, "folded": True}
    path = folder / f"{name or kind}_x{scale}.safetensors"
    save_weights(path, network.state_dict(), {"kind": kind, "architecture": described})
    return path


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that stands for the shipped weights: one of each kind, x2."""
    load_plugins()  # those that read the folder once have read the real one
    folder = tmp_path / "shipped"
    folder.mkdir()
    for kind in KINDS:
        save(folder, kind)
    monkeypatch.setattr(weights, "SHIPPED", folder)
    return folder


def defended(kind: str, **arguments: Any) -> SuperResolution:
    defense = load_defense(kind, **arguments)
    assert isinstance(defense, SuperResolution)
    return defense.eval()


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_defense_keeps_its_contract_with_exact_gradients(kind: str, shipped: Path) -> None:
    for arguments in ({}, {"output": "resize_back", "denoise": "wavelet"}):
        found = check_defense(defended(kind, **arguments))
        assert [check for check in found if check[1]] == []


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_defense_is_its_network_clipped(kind: str, shipped: Path) -> None:
    x, _ = toy_images(3)
    out = defended(kind).transform(x)
    with torch.no_grad():
        expected = load_network(kind)(x)
    assert out.shape == (3, 3, 64, 64)
    assert out.dtype == torch.float32
    assert out.is_contiguous()
    assert float(expected.amax()) > 1
    torch.testing.assert_close(out, expected.clamp(0, 1))


def test_output_and_wavelet_are_applied_around_the_network(shipped: Path) -> None:
    x, _ = toy_images(3)
    native = defended("superdef")
    back = defended("superdef", output="resize_back")
    assert native(x).shape[-2:] == (64, 64)
    torch.testing.assert_close(back(x), resize(native(x), (32, 32)).clamp(0, 1))
    cleaned = defended("superdef", denoise="wavelet", sigma=0.1)
    torch.testing.assert_close(cleaned(x), native(wavelet_denoise(x, sigma=0.1)))
    assert float((cleaned(x) - native(x)).abs().max()) > 0.01


def test_grey_images_go_through_as_colour_and_come_back_grey(shipped: Path) -> None:
    x, _ = toy_images(2, channels=1)
    with torch.no_grad():
        colour = load_network("superdef")(x.repeat(1, 3, 1, 1))
    expected = colour.mean(dim=1, keepdim=True).clamp(0, 1)
    torch.testing.assert_close(defended("superdef").transform(x), expected)
    assert defended("superdef", denoise="wavelet", output="resize_back")(x).shape == x.shape


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"output": "smaller"}, "'output' of defense 'superdef' is 'smaller'"),
        ({"denoise": "median"}, "'denoise' of defense 'superdef' is 'median'"),
        ({"sigma": 0}, "sigma is 0, take a number above 0"),
        ({"tile": 7}, "tile is 7, take 0 for none, or 8 or more"),
        ({"tile": -8}, "tile is -8, take 0 for none, or 8 or more"),
        ({"dtype": "int8"}, "'dtype' of defense 'superdef' is 'int8'"),
        ({"scale": 5}, "scale is 5"),
        ({"self_ensemble": 8}, "'self_ensemble' of defense 'superdef' is 8"),
    ],
)
def test_bad_options_are_one_line(arguments: dict[str, Any], message: str, shipped: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load_defense("superdef", **arguments)
    assert message in str(error.value)
    assert "\n" not in error.value.message


@pytest.mark.parametrize("kind", list(KINDS))
def test_missing_weights_say_how_to_get_some(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    save(tmp_path, kind, scale=3)
    with pytest.raises(DataError) as error:
        load_defense(kind)
    assert error.value.message == f"no weights of {kind} x2 are shipped"
    assert f"superdef-bench train {kind} --scale 2" in error.value.hint
    assert 'weights = "' in error.value.hint
    assert defended(kind, scale=3)(toy_images(1)[0]).shape == (1, 3, 96, 96)


def test_weights_of_your_own_and_the_largest_shipped_ones_are_taken(
    shipped: Path, tmp_path: Path
) -> None:
    x, _ = toy_images(2)
    own = save(tmp_path, "superdef", seed=5, name="own")
    first = defended("superdef")(x)
    assert not torch.equal(defended("superdef", weights=str(own))(x), first)
    save(shipped, "superdef", size="8x14", name="a_larger_one")
    save(shipped, "superdef", size="2x4", name="z_smaller_one")
    assert len(load_network("superdef").state_dict()["tail.weight"][0]) == 14


def test_weights_of_another_kind_scale_or_content_are_refused(
    shipped: Path, tmp_path: Path
) -> None:
    path = str(save(tmp_path, "superdef_no_kd", scale=3))
    with pytest.raises(DataError, match="are of 'superdef_no_kd', not of 'superdef'"):
        load_network("superdef", scale=3, weights=path)
    with pytest.raises(ConfigError, match="enlarge by 3, scale is 2\nhint: set scale = 3"):
        load_network("superdef_no_kd", weights=path)
    rcan = save(tmp_path, "rcan")
    rcan.write_bytes(rcan.read_bytes()[:-1] + b"\x01")
    with pytest.raises(DataError, match="have sha256"):
        load_network("rcan", weights=str(rcan))
    beside = rcan.with_suffix(".json")
    for text, message in (
        ("{", "is no JSON"),
        ("[]", "names no sha256"),
        ('{"kind": "rcan"}', "names no sha256"),
        ('{"kind": "rcan", "sha256": "00"}', "names no sha256"),
        (json.dumps({"kind": "rcan", "sha256": "0" * 64}), "describes no super-resolution network"),
        (
            json.dumps({**json.loads(beside.read_text()), "architecture": {"scale": 2}}),
            "no super-resolution network is",
        ),
    ):
        beside.write_text(text)
        with pytest.raises(DataError, match=message):
            load_network("rcan", weights=str(rcan))
    alone = save(tmp_path, "superdef", name="alone")
    alone.with_suffix(".json").unlink()
    with pytest.raises(DataError, match="have no provenance"):
        load_network("superdef", weights=str(alone))
    with pytest.raises(DataError, match="does not exist"):
        load_network("superdef", weights=str(tmp_path / "nothing.safetensors"))


def test_the_state_that_keys_a_row_holds_the_weights(shipped: Path, tmp_path: Path) -> None:
    def key(**arguments: Any) -> str:
        task: Task = toy_task()
        stage = defended("superdef", **arguments)
        return tensors(stage.protect(toy_model(), task).state_dict())

    own = save(tmp_path, "superdef", seed=5, name="own")
    assert key() == key()
    assert key() != key(weights=str(own))


def test_a_run_names_its_rows_by_what_they_are(
    shipped: Path, run_cli: Callable[..., Answer], config: Callable[..., Path], tmp_path: Path
) -> None:
    text = """
    [run]
    dataset = "signs"
    model = "signs_resnet8"
    limit = 2
    batch_size = 2
    rungs = ["gray_box"]
    [attacks]
    fgsm = {}
    [defenses]
    edsr = {}
    superdef = {}
    superdef_no_kd = { output = "resize_back" }
    both = { chain = ["superdef", "superdef"] }
    """
    answer = run_cli("run", config(text), "-o", tmp_path / "out")
    assert answer.code == 0, answer.err
    assert {row["defense"] for row in records(tmp_path / "out")} == {
        "none",
        "edsr (2x8, native)",
        "superdef (reconstruction, 8x12, native)",
        "superdef_no_kd (reconstruction, 8x12, resize_back)",
        "both (reconstruction, 8x12, native)",
    }
