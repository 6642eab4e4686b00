"""The super-resolution defenses: weights, options, and what they do to images."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from superdef_bench import ConfigError, DataError, Task, load_defense, resize, weights
from superdef_bench.fingerprint import tensors
from superdef_bench.nn import (
    Dtype,
    SuperDef,
    SuperResolution,
    architecture,
    build_network,
    load_network,
    wavelet_denoise,
)
from superdef_bench.plugins import load_plugins
from superdef_bench.testing import check_defense
from superdef_bench.toy import toy_images, toy_model, toy_task
from superdef_bench.weights import save_weights
from tests.conftest import Answer, records
from tests.test_networks import randomised

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


def photographs(height: int = 37, width: int = 52, channels: int = 3) -> Tensor:
    """Return smooth images whose restorations stay within [0, 1], where nothing is clipped."""
    x, _ = toy_images(2, channels, 64)
    return 0.3 + 0.4 * x[..., :height, :width]


class Calm(torch.nn.Module):
    """A network whose change of the image is small, so that no result is clipped."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        plain = resize(x, (2 * x.shape[-2], 2 * x.shape[-1]))
        return plain + 0.1 * torch.tanh(0.3 * (self.network(x) - plain))


def calm(network: torch.nn.Module, **options: Any) -> SuperResolution:
    return SuperResolution(Calm(network), **options).requires_grad_(False)


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


@pytest.mark.parametrize("tile", [8, 13, 30, 36, 37, 100])
@pytest.mark.parametrize(("height", "width"), [(70, 91), (37, 130), (8, 60)])
def test_tiled_equals_whole_for_the_student(tile: int, height: int, width: int) -> None:
    network = randomised(SuperDef(features=12)).requires_grad_(False)
    noise = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    x = 0.4 + 0.2 * noise
    whole, tiled = calm(network), calm(network, tile=tile)
    assert float((whole(x) - tiled(x)).abs().max()) < 1e-4
    assert float(whole(x).amin()) > 0
    assert float(whole(x).amax()) < 1


def test_tiled_equals_whole_away_from_the_borders_of_tiles() -> None:
    deep = randomised(build_network(architecture("EDSR", "16x8", 2))).requires_grad_(False)
    x = torch.rand(1, 3, 192, 64, generator=torch.Generator().manual_seed(0))
    apart = (calm(deep)(x) - calm(deep, tile=96)(x)).abs().amax(dim=(0, 1, 3))
    border, reach = 2 * 96, 2 * 40
    inner = torch.cat([apart[: border - reach], apart[border + reach :]])
    assert float(inner.max()) < 1e-4
    assert float(apart[border - 4 : border + 4].max()) > float(inner.max())


@pytest.mark.parametrize("kind", ["superdef", "edsr"])
def test_the_gradient_of_tiles_is_that_of_the_whole(kind: str) -> None:
    network = build_network(architecture(KINDS[kind][0], KINDS[kind][1], 2))
    x = photographs()
    gradients = []
    for options in ({}, {"tile": 8}, {"tile": 20}):
        stage, leaf = calm(randomised(network), **options), x.clone().requires_grad_()
        out = stage(leaf)
        weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(2))
        gradients.append(torch.autograd.grad((out * weight).sum(), leaf)[0])
    for gradient in gradients[1:]:
        torch.testing.assert_close(gradient, gradients[0], atol=1e-4, rtol=1e-4)


def turned(x: Tensor, turns: int, flip: bool) -> Tensor:
    x = x.rot90(turns, (-2, -1))
    return x.flip(-1) if flip else x


@pytest.mark.parametrize("options", [{}, {"tile": 8}])
def test_the_ensemble_turns_with_the_image_and_is_the_mean_of_eight(
    options: dict[str, int],
) -> None:
    network = randomised(build_network(architecture("RCAN", "1x2x16", 2))).requires_grad_(False)
    plain, ensemble = calm(network, **options), calm(network, self_ensemble=True, **options)
    x = photographs(20, 43)
    eight = [(turns, flip) for turns in range(4) for flip in (False, True)]
    for turns, flip in eight:
        expected = turned(ensemble(x), turns, flip)
        assert float((ensemble(turned(x, turns, flip)) - expected).abs().max()) < 1e-5
    assert float((plain(x.flip(-1)) - plain(x).flip(-1)).abs().max()) > 1e-3
    back = [turned(plain(turned(x, t, f)), 0, f).rot90(-t, (-2, -1)) for t, f in eight]
    torch.testing.assert_close(ensemble(x), torch.stack(back).mean(dim=0), atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("kind", ["edsr", "rcan", "superdef"])
def test_lower_precision_is_close_and_keeps_small_gradients(
    kind: str, dtype: Dtype, shipped: Path
) -> None:
    exact = calm(load_network(kind))
    fast = calm(load_network(kind), dtype=dtype)
    learned = {k: str(v.dtype) for k, v in fast.state_dict().items() if "mean" not in k}
    assert set(learned.values()) == {f"torch.{dtype}"}
    x, gradients, outputs = photographs(), [], []
    for stage in (exact, fast):
        leaf = x.clone().requires_grad_()
        out = stage(leaf)
        outputs.append(out.detach())
        weight = torch.randn(outputs[0].shape, generator=torch.Generator().manual_seed(2))
        # What a confident classifier sends back for the first image is far below float16.
        weight *= torch.tensor([1e-20, 1.0]).view(2, 1, 1, 1)
        gradient = torch.autograd.grad((out * weight).sum(), leaf)[0]
        gradients.append(gradient.double().flatten(1))
    assert outputs[1].dtype == torch.float32
    limit = {"bfloat16": 0.02, "float16": 0.002}[dtype]
    assert 0 < float((outputs[0] - outputs[1]).abs().max()) < limit
    sizes = [gradient.norm(dim=1) for gradient in gradients]
    cosine = (gradients[0] * gradients[1]).sum(dim=1) / (sizes[0] * sizes[1])
    assert float(cosine.min()) > {"bfloat16": 0.98, "float16": 0.999}[dtype]
    torch.testing.assert_close(sizes[1] / sizes[0], torch.ones(2).double(), atol=0.02, rtol=0)


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


@pytest.mark.parametrize(
    "options", [{"output": "x"}, {"denoise": "x"}, {"sigma": -1}, {"tile": 4}, {"dtype": "x"}]
)
def test_the_stage_itself_refuses_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="take"):
        SuperResolution(torch.nn.Identity(), **options)


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
    assert defended(kind, scale=3)(photographs()).shape[-2:] == (3 * 37, 3 * 52)


def test_weights_of_your_own_and_the_largest_shipped_ones_are_taken(
    shipped: Path, tmp_path: Path
) -> None:
    x = photographs()
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
        ("[]", "describes no super-resolution network"),
        ('{"kind": "rcan"}', "describes no super-resolution network"),
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
        "edsr (native)",
        "superdef (reconstruction, native)",
        "superdef_no_kd (reconstruction, resize_back)",
        "both (reconstruction, native)",
    }
