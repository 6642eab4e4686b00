"""The super-resolution networks: sizes, cost, folding, and what they compute."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from superdef_bench import ConfigError, DataError, Protected
from superdef_bench.measure.work import gmac, parameters
from superdef_bench.nn import EDSR, RCAN, SuperDef, SuperResolution, architecture, build_network
from superdef_bench.nn.superdef import BranchedConv
from tests.support.networks import randomised

# Giga multiply-accumulates of all convolutions at 32x32; known at 299x299 to four digits.
COSTS = [
    ("EDSR", "16x64", 2, 1.405),
    ("EDSR", "16x64", 4, 2.031),
    ("EDSR", "32x256", 2, 41.71),
    ("RCAN", "10x20x64", 2, 15.68),
    ("RCAN", "10x20x64", 4, 16.30),
    ("RCAN", "10x6x64", 2, 5.105),
    ("RCAN", "10x6x64", 4, 5.731),
    ("RCAN", "4x4x32", 2, 0.391),
]
COUNTS = [
    ("EDSR", "16x64", 2, 1_369_883),
    ("EDSR", "16x64", 4, 1_517_595),
    ("EDSR", "32x256", 2, 40_729_627),
    ("RCAN", "10x20x64", 2, 15_444_667),
    ("RCAN", "10x20x64", 4, 15_592_379),
    ("RCAN", "10x6x64", 2, 5_023_627),
    ("RCAN", "10x6x64", 4, 5_171_339),
    ("RCAN", "4x4x32", 2, 383_547),
]
SMALL: list[tuple[type[nn.Module], dict[str, Any]]] = [
    (EDSR, {"blocks": 2, "features": 16}),
    (RCAN, {"groups": 2, "blocks": 2, "features": 16}),
    (SuperDef, {"layers": 3, "features": 12}),
]


def images(count: int = 2, height: int = 20, width: int = 17) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize(("name", "size", "scale", "count"), COUNTS)
def test_networks_have_the_published_number_of_parameters(
    name: str, size: str, scale: int, count: int
) -> None:
    with torch.device("meta"):
        assert parameters(build_network(architecture(name, size, scale))) == count


@pytest.mark.parametrize(("name", "size", "scale", "expected"), COSTS)
def test_networks_cost_what_is_known_of_them(
    name: str, size: str, scale: int, expected: float
) -> None:
    with torch.device("meta"):
        stage = SuperResolution(build_network(architecture(name, size, scale)))
        found = gmac(Protected([stage], nn.Identity()), torch.zeros(1, 3, 32, 32), stages_only=True)
    assert found == pytest.approx(expected, rel=0.005)


def test_the_defaults_are_the_published_sizes_and_the_student_is_small() -> None:
    with torch.device("meta"):
        assert parameters(EDSR()) == 1_369_883
        assert parameters(RCAN()) == 15_444_667
        student = SuperDef(folded=True)
    assert parameters(student) == (3 * 48 * 9 + 48) + 8 * (48 * 48 * 9 + 48) + (48 * 12 * 9 + 12)
    assert [type(module) for module in student.body] == [nn.Conv2d] * 9


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(("network", "sizes"), SMALL)
def test_networks_enlarge_and_keep_images_apart(
    network: type[nn.Module], sizes: dict[str, Any], scale: int
) -> None:
    net = randomised(network(**sizes, scale=scale))
    x = images(3)
    with torch.no_grad():
        together = net(x)
        alone = torch.cat([net(image) for image in x.split(1)])
    assert together.shape == (3, 3, 20 * scale, 17 * scale)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_an_untrained_student_is_bicubic_and_its_skip_follows_the_image(scale: int) -> None:
    x = images()
    size = (20 * scale, 17 * scale)
    bicubic = functional.interpolate(x, size=size, mode="bicubic", antialias=True)
    torch.testing.assert_close(SuperDef(layers=2, features=8, scale=scale)(x), bicubic)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_folded_student_computes_the_same(scale: int) -> None:
    net = randomised(SuperDef(scale=scale))
    assert isinstance(net, SuperDef)
    x = images()
    with torch.no_grad():
        unfolded = net(x)
        folded = net.fold()(x)
    assert not any(isinstance(module, BranchedConv) for module in net.modules())
    plain = SuperDef(scale=scale, folded=True)
    assert net.state_dict().keys() == plain.state_dict().keys()
    plain.load_state_dict(net.state_dict())
    assert float(unfolded.std()) > 0.1
    assert float((folded - unfolded).abs().max()) < 1e-4
    torch.testing.assert_close(plain(x), folded, atol=1e-6, rtol=0)


def branches(conv: BranchedConv, x: Tensor) -> Tensor:
    """Return the sum of the branches, each computed on its own, on zero-padded images."""
    padded = functional.pad(x, [1, 1, 1, 1])
    total = functional.conv2d(padded, conv.plain.weight, conv.plain.bias)
    total = total + conv.narrow(conv.widen(padded))
    sobel = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
    laplace = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
    for mix, gain, edge in zip(conv.mix, conv.gains, (sobel, sobel.T, laplace), strict=True):
        mixed = functional.conv2d(padded, mix[:, :, None, None])
        kernel = edge.expand(len(mix), 1, 3, 3)
        total = total + gain[:, None, None] * functional.conv2d(mixed, kernel, groups=len(mix))
    return total + x if x.shape[1] == total.shape[1] else total


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 8), (8, 8)])
def test_a_branched_convolution_is_the_sum_of_its_branches(inputs: int, outputs: int) -> None:
    conv = randomised(BranchedConv(inputs, outputs))
    assert isinstance(conv, BranchedConv)
    x = torch.randn(2, inputs, 9, 11, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = branches(conv, x)
        assert float((conv(x) - expected).abs().max()) < 1e-4
        assert float((conv.fold()(x) - expected).abs().max()) < 1e-4


def test_gradients_reach_every_branch() -> None:
    net = randomised(SuperDef(layers=2, features=8)).train()
    net(images()).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name


def test_large_networks_scale_their_residuals_down() -> None:
    def first(net: EDSR) -> float:
        return float(net.body.get_submodule("0").residual_scale)  # type: ignore[arg-type]  # torch: Tensor | Module

    with torch.device("meta"):
        assert first(EDSR(blocks=1, features=64)) == 1.0
        assert first(EDSR(blocks=1, features=256)) == 0.1
        assert first(EDSR(blocks=1, features=256, residual_scale=0.5)) == 0.5


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: EDSR(scale=5), "scale is 5"),
        (lambda: RCAN(groups=0), "groups is 0"),
        (lambda: RCAN(features=8), "features is 8, fewer than the reduction of 16"),
        (lambda: SuperDef(layers=0), "layers is 0"),
        (lambda: architecture("RCAN", "10x20", 2), "size '10x20' is none of RCAN"),
        (lambda: architecture("EDSR", "16xlarge", 2), "size '16xlarge' is none of EDSR"),
    ],
)
def test_impossible_sizes_are_refused(build: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build()


@pytest.mark.parametrize(
    "record", [{}, {"network": "VDSR"}, {"network": "EDSR", "depth": 3}, {"network": ["EDSR"]}]
)
def test_a_record_of_no_network_is_refused(record: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="no super-resolution network is"):
        build_network(record)
