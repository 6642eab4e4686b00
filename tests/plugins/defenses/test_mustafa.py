"""The defense `mustafa`: its presets, its stages in their order, and what an attacker gets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import skimage.data
import torch
from torch import Tensor, nn

from superdef_bench import ConfigError, InputTransform, load_defense
from superdef_bench.core.transform import Protected
from superdef_bench.nn import EDSR, jpeg_round_trip, soft_jpeg, wavelet_denoise
from superdef_bench.nn.weights import save_weights
from superdef_bench.testing import check_defense
from tests.support.commands import Answer, records


def edsr() -> EDSR:
    """Return a network that repeats pixels, and adds details that no training has made useful."""
    torch.manual_seed(0)
    network = EDSR(blocks=1, features=8, scale=2)
    shuffled = network.upsampler[0]
    assert isinstance(shuffled, nn.Conv2d)
    with torch.no_grad():
        for convolution in (network.head, shuffled, network.tail):
            convolution.weight.mul_(0.3)
        for colour in range(3):
            network.head.weight[colour, colour, 1, 1] += 1
            shuffled.weight[4 * colour : 4 * colour + 4, colour, 1, 1] += 1
            network.tail.weight[colour, colour, 1, 1] += 1
    return network.eval()


@pytest.fixture
def weights(tmp_path: Path) -> str:
    path = tmp_path / "small_edsr.safetensors"
    architecture = {"network": "EDSR", "blocks": 1, "features": 8, "scale": 2}
    save_weights(path, edsr().state_dict(), {"kind": "edsr", "architecture": architecture})
    return str(path)


def load(**arguments: Any) -> Any:
    defense = load_defense("mustafa", **arguments)
    assert isinstance(defense, InputTransform)
    return defense


def photographs() -> Tensor:
    pixels = torch.from_numpy(skimage.data.astronaut()[:96, 160:256]).permute(2, 0, 1)
    return torch.stack([pixels[:, :32, :40], pixels[:, 50:82, 30:70]]).float() / 255


def on_grid(x: Tensor) -> bool:
    return bool(((x * 255 - (x * 255).round()).abs() < 1e-4).all())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, (0.04, 0, False, True)),
        ({"preset": "repo"}, (0.01, 95, True, False)),
        ({"preset": "repo", "jpeg": 0}, (0.01, 0, True, False)),
        ({"preset": "repo", "eightbit": False}, (0.01, 95, False, False)),
        ({"preset": "repo", "jpeg": 0, "eightbit": False}, (0.01, 0, False, True)),
        ({"preset": "repo", "sigma": 0.03, "jpeg": 75}, (0.03, 75, True, False)),
        ({"jpeg": 75}, (0.04, 75, False, False)),
        ({"eightbit": True}, (0.04, 0, True, False)),
    ],
)
def test_a_preset_gives_what_is_not_set(
    arguments: dict[str, Any], expected: tuple[float, int, bool, bool], weights: str
) -> None:
    defense = load(weights=weights, **arguments)
    found = (defense.sigma, defense.jpeg, defense.eightbit, defense.differentiable)
    assert found == expected


def test_the_paper_is_wavelet_then_edsr_and_the_parts_are_its_stages(weights: str) -> None:
    x = photographs()
    denoised = wavelet_denoise(x, sigma=0.04)
    network = edsr()
    with torch.no_grad():
        both, alone = network(denoised).clamp(0, 1), network(x).clamp(0, 1)
    assert (both - alone).abs().max() > 0.01
    for stages, expected in (("both", both), ("sr", alone), ("wavelet", denoised)):
        out = load(weights=weights, stages=stages)(x)
        assert out.shape == expected.shape
        torch.testing.assert_close(out, expected, atol=1e-5, rtol=0)


def test_the_wavelet_alone_needs_no_weights_and_takes_its_levels(weights: str) -> None:
    x = photographs()
    one = load(stages="wavelet", levels=1, weights="nothing.safetensors")(x)
    assert torch.equal(one, wavelet_denoise(x, sigma=0.04, levels=1))
    assert not torch.equal(one, load(stages="wavelet")(x))
    back = load(weights=weights, output="resize_back")(x)
    assert back.shape == x.shape


def test_the_scripts_put_jpeg_between_the_stages_and_round_at_the_end(weights: str) -> None:
    x = photographs()
    network = edsr()
    file = jpeg_round_trip(wavelet_denoise(x, sigma=0.01), 95)
    with torch.no_grad():
        enlarged = network(file).clamp(0, 1)
        before = network(wavelet_denoise(jpeg_round_trip(x, 95), sigma=0.01)).clamp(0, 1)
    out = load(weights=weights, preset="repo")(x)
    assert on_grid(out)
    assert not on_grid(enlarged)
    assert (out - enlarged).abs().max() < 0.5 / 255 + 1e-5
    assert (before - enlarged).abs().max() > 2 / 255  # the order can be told
    unrounded = load(weights=weights, preset="repo", eightbit=False)(x)
    torch.testing.assert_close(unrounded, enlarged, atol=1e-5, rtol=0)
    assert torch.equal(load(preset="repo", stages="wavelet")(x), file)
    worse = load(weights=weights, preset="repo", jpeg=30)(x)
    assert (worse - out).abs().max() > 5 / 255


@pytest.mark.parametrize("output", ["native", "resize_back"])
@pytest.mark.parametrize("backward", ["smooth", "identity"])
def test_the_bpda_surrogate_has_the_values_of_the_transform_and_the_gradient_of_its_stages(
    weights: str, output: str, backward: str
) -> None:
    x = photographs().requires_grad_()
    defense = load(weights=weights, preset="repo", output=output, backward=backward)
    stand_in = defense.bpda_surrogate(x)
    assert torch.equal(stand_in, defense.transform(x))
    weight = torch.rand(stand_in.shape, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad((stand_in * weight).sum(), x)

    denoised = wavelet_denoise(x, sigma=0.01)
    stand_in_file = soft_jpeg(denoised, 95) if backward == "smooth" else denoised
    lost = (jpeg_round_trip(denoised, 95) - stand_in_file).detach()
    enlarged = edsr()(stand_in_file + lost).clamp(0, 1)
    (expected,) = torch.autograd.grad((enlarged * weight).sum(), x)
    torch.testing.assert_close(gradient, expected, atol=1e-4, rtol=1e-3)
    (identity,) = torch.autograd.grad((edsr()(x).clamp(0, 1) * weight).sum(), x)
    assert (gradient - identity).norm() > 0.1 * expected.norm()


def test_where_the_gradient_is_exact_bpda_goes_around_all_stages(weights: str) -> None:
    x = photographs()
    defense = load(weights=weights)
    assert torch.equal(defense.bpda_surrogate(x), x)
    logits = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    protected = defense.protect(logits, task=None)
    assert isinstance(protected, Protected)
    gradients = []
    for view in ("exact", "bpda"):
        leaf = x.clone().requires_grad_()
        out = protected.view(view)(leaf)
        gradients.append(torch.autograd.grad(out.sum(), leaf)[0])
    assert (gradients[0] - gradients[1]).norm() > 0.1 * gradients[0].norm()


@pytest.mark.parametrize("preset", ["paper", "repo"])
def test_the_contract_of_a_defense_is_kept(weights: str, preset: str) -> None:
    found = dict(check_defense(load(weights=weights, preset=preset)))
    if preset == "repo":
        # A value between two levels may be rounded the other way in a batch of another size.
        del found["treats an image the same alone and in a batch"]
    assert len(found) >= 3
    assert set(found.values()) == {""}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "thesis"}, "preset.*'paper', 'repo'"),
        ({"stages": "none"}, "stages.*'both', 'wavelet', 'sr'"),
        ({"jpeg": 96}, "jpeg is 96, take 1 to 95"),
        ({"backward": "nothing"}, "backward.*'smooth', 'identity'"),
        ({"levels": -1}, "levels is -1, take 0 or more"),
        ({"sigma": 0.0}, "sigma is 0.0, take a number above 0"),
    ],
)
def test_bad_settings_are_refused(arguments: dict[str, Any], message: str, weights: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        load(weights=weights, **arguments)


def test_a_run_refuses_the_white_box_and_goes_around_jpeg_by_bpda(
    run_cli: Callable[..., Answer], config: Callable[..., Path], weights: str
) -> None:
    path = config(f"""
        [run]
        dataset = "signs"
        model = "signs_resnet8"
        limit = 4
        batch_size = 4
        masking = 0
        rungs = ["gray_box", "white_box", "bpda"]

        [threat]
        eps = ["8/255"]

        [attacks]
        fgsm = {{}}

        [defenses]
        mustafa = {{ preset = "repo", weights = "{weights}" }}
        """)
    answer = run_cli("run", path, "-d", "mustafa", "-o", "out")
    assert answer.code == 0, answer.err
    rows = [row for row in records(Path("out")) if row["defense"].startswith("mustafa")]
    rungs = {row["rung"] for row in rows if row["attack"] == "fgsm"}
    assert rungs == {"gray_box", "bpda"}
    assert all(row["error"] is None for row in rows)
    attacked = [row for row in rows if row["rung"] == "bpda" and row["backwards"]]
    assert attacked
    assert all(row["linf"] > 0.03 for row in attacked)
