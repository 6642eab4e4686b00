"""Which networks get channels_last images, and that it changes no answer."""

import pytest
import torch
from torch import Tensor, nn

from superdef_bench.core.layout import Layouts, is_depthwise, key_parts, layout_for
from superdef_bench.core.rng import Random
from superdef_bench.core.threats import Threat
from superdef_bench.core.transform import Protected
from superdef_bench.core.types import AttackContext
from superdef_bench.engine.ascent import ascend
from superdef_bench.nn.resnet import ResNet
from tests.support.networks import SeparableNet, randomised

_IMAGES = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class _Flat(SeparableNet):
    """One whose head asks the feature map for a view of it: channels_last has none."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8 * 16 * 16, 5)

    def forward(self, x: Tensor) -> Tensor:
        out = self.features(x)
        logits: Tensor = self.head(out.view(len(out), -1))
        return logits


@pytest.mark.parametrize(
    ("layer", "depthwise"),
    [
        (nn.Conv2d(8, 8, 3, groups=8), True),
        (nn.Conv2d(8, 16, 3, groups=8), True),
        (nn.Conv2d(8, 8, 3, groups=2), False),
        (nn.Conv2d(1, 8, 3), False),
        (nn.Conv1d(8, 8, 3, groups=8), False),
    ],
)
def test_a_depthwise_convolution_reads_channels_alone(layer: nn.Module, depthwise: bool) -> None:
    assert is_depthwise(layer) is depthwise


def test_a_network_with_one_gets_channels_last_where_it_can_take_that() -> None:
    assert layout_for(SeparableNet().eval(), _IMAGES) == "channels_last"
    assert layout_for(ResNet(blocks=1, num_classes=5).eval(), _IMAGES) == "contiguous"
    assert layout_for(_Flat().eval(), _IMAGES) == "contiguous"


def test_a_run_goes_on_with_the_layouts_that_it_began_with() -> None:
    network = SeparableNet().eval()
    for known, expected in (
        (None, "channels_last"),
        ({}, "contiguous"),  # from before there were layouts
        ({"model:net": "contiguous"}, "contiguous"),
        ({"model:other": "contiguous"}, "channels_last"),  # it did not know this one
    ):
        layouts = Layouts(_IMAGES, known)  # type: ignore[arg-type]  # mypy takes the words for texts
        assert layouts.of("model:net", network) == expected
        assert layouts.chosen == {"model:net": expected}


def test_only_another_layout_is_in_a_key() -> None:
    assert key_parts("contiguous") == ()
    assert key_parts("channels_last") == ("channels_last",)


def test_logits_and_gradients_are_the_same_in_both() -> None:
    network, y = randomised(SeparableNet()), torch.arange(6) % 5
    answers = []
    for layout in ("contiguous", "channels_last"):
        protected = Protected((), network, layout=layout)
        x = _IMAGES.clone().requires_grad_(True)
        logits = protected.view("exact")(x)
        slope = torch.autograd.grad(logits.sum(), x)[0]
        assert slope.is_contiguous()
        context = AttackContext.start(y, Random(0, "attack", y), goal="strength")
        made = ascend(
            protected, _IMAGES, y, Threat("linf", 8 / 255), context, steps=3, step_size=2 / 255
        )
        answers.append((logits.detach(), slope, protected(made).detach()))
    for plain, other in zip(*answers, strict=True):
        assert torch.allclose(plain, other, atol=1e-5, rtol=1e-5)


def test_a_network_of_the_same_name_that_takes_no_channels_last_gets_contiguous_images() -> None:
    layouts = Layouts(_IMAGES, {"model:net": "channels_last"})
    assert layouts.of("model:net", _Flat().eval()) == "contiguous"
    assert layouts.of("model:net", ResNet(blocks=1, num_classes=5).eval()) == "channels_last"
