"""What the rule of layouts gains: `pytest tests/benchmarks/test_layout.py -m slow -s`."""

from functools import partial
from typing import Any

import pytest
import timm  # type: ignore[import-untyped]  # ships no types
import torch
from torch import Tensor, nn

from superdef_bench import load_model
from superdef_bench.core.layout import layout_for
from superdef_bench.core.threats import LAYOUTS
from superdef_bench.core.transform import Protected
from tests.support.pace import least_seconds

_ROUNDS = 6


def _forward(network: nn.Module, images: Tensor) -> None:
    with torch.no_grad():
        network(images)


def _gradient(network: nn.Module, images: Tensor) -> None:
    x = images.clone().requires_grad_(True)
    torch.autograd.grad(network(x).sum(), x)


@pytest.mark.slow
def test_channels_last_gains_on_depthwise_convolutions() -> None:
    torch.set_num_threads(1)
    network = timm.create_model("efficientnet_lite0").eval().requires_grad_(False)
    images = torch.rand(16, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    assert layout_for(network, images) == "channels_last"
    views = {layout: Protected((), network, layout=layout) for layout in LAYOUTS}
    works: dict[str, Any] = {
        f"{what.__name__} {layout}": partial(what, view, images)
        for what in (_forward, _gradient)
        for layout, view in views.items()
    }
    took = least_seconds(works, rounds=_ROUNDS)
    for what, bound in (("_forward", 1.2), ("_gradient", 1.15)):
        gain = took[f"{what} contiguous"] / took[f"{what} channels_last"]
        print(f"EfficientNet-Lite0, 16 x 160x160,{what.replace('_', ' ')}: {gain:.2f}x")
        assert gain >= bound


def test_networks_without_them_are_left_alone() -> None:
    images = torch.rand(2, 3, 32, 32)
    for network in (
        load_model("cifar10_jpeg_resnet20"),
        timm.create_model("resnet18", num_classes=10).eval(),
    ):
        assert layout_for(network, images) == "contiguous"
