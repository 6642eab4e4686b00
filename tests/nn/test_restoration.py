"""Super-resolution as a stage: tiles, the ensemble of flips and turns, lower precision."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from superdef_bench import resize
from superdef_bench.nn import Dtype, SuperDef, SuperResolution, architecture, build_network
from superdef_bench.testing import toy_images
from tests.support.networks import randomised

SIZES = {"edsr": ("EDSR", "2x8"), "rcan": ("RCAN", "2x2x16"), "superdef": ("SuperDef", "8x12")}


def photographs(height: int = 37, width: int = 52, channels: int = 3) -> Tensor:
    """Return smooth images whose restorations stay within [0, 1], where nothing is clipped."""
    x, _ = toy_images(2, channels, 64)
    return 0.3 + 0.4 * x[..., :height, :width]


class Calm(nn.Module):
    """A network whose change of the image is small, so that no result is clipped."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        plain = resize(x, (2 * x.shape[-2], 2 * x.shape[-1]))
        return plain + 0.1 * torch.tanh(0.3 * (self.network(x) - plain))


def calm(network: nn.Module, **options: Any) -> SuperResolution:
    return SuperResolution(Calm(network), **options).requires_grad_(False)


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
    network = build_network(architecture(*SIZES[kind], 2))
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
def test_lower_precision_is_close_and_keeps_small_gradients(kind: str, dtype: Dtype) -> None:
    exact, fast = (
        calm(randomised(build_network(architecture(*SIZES[kind], 2))), dtype=computed)
        for computed in ("float32", dtype)
    )
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
    "options", [{"output": "x"}, {"denoise": "x"}, {"sigma": -1}, {"tile": 4}, {"dtype": "x"}]
)
def test_the_stage_itself_refuses_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="take"):
        SuperResolution(nn.Identity(), **options)
