"""The skip network of Deep Image Prior: its size, and each row held against plain torch layers."""

import pytest
import torch
from torch import Tensor, nn

from superdef_bench.core.errors import ConfigError
from superdef_bench.core.rng import Random
from superdef_bench.nn.skip import PUBLISHED, SMALL, SkipShape, draw, draw_weights
from tests.support.hourglass import Hourglass


def filled(shape: SkipShape, weights: dict[str, Tensor], row: int) -> Hourglass:
    """Return the network of one row, its tensors taken by the names of ours."""
    network = Hourglass(shape).double()
    with torch.no_grad():
        part: Hourglass | None = network
        scale = 0
        while part is not None:
            for name in ("skip", "halve", "down", "up", "mix"):
                module = getattr(part, name)
                if module is not None:
                    copy(module[0], module[1], f"{scale}.{name}", weights, row)
            copy(None, part.join, f"{scale}.join", weights, row)
            if part.colours is not None:
                copy(part.colours, None, "colours", weights, row)
            part, scale = part.deeper, scale + 1
    return network


def copy(
    convolution: nn.Module | None,
    norm: nn.Module | None,
    name: str,
    weights: dict[str, Tensor],
    row: int,
) -> None:
    if convolution is not None:
        convolution.weight.copy_(weights[f"{name}.weight"][row])  # type: ignore[operator]  # a tensor
        convolution.bias.copy_(weights[f"{name}.bias"][row])  # type: ignore[operator]  # a tensor
    if norm is not None:
        norm.weight.copy_(weights[f"{name}.scale"][row])  # type: ignore[operator]  # a tensor
        norm.bias.copy_(weights[f"{name}.shift"][row])  # type: ignore[operator]  # a tensor


def test_the_published_network_has_the_parameters_of_its_logs() -> None:
    assert PUBLISHED.parameters == 572_827
    assert sum(p.numel() for p in Hourglass(PUBLISHED).parameters()) == 572_827


@pytest.mark.parametrize(("shape", "side"), [(SMALL, 32), (PUBLISHED, 64)])
def test_each_row_is_a_network_of_plain_layers(shape: SkipShape, side: int) -> None:
    rows = 3
    drawn = draw_weights(shape, Random(0, "test", torch.arange(rows)))
    weights = {name: value.double() + 0.01 * value.ndim for name, value in drawn.items()}
    z = torch.rand(rows, 3, side, side, dtype=torch.float64)
    ours = draw(shape, weights, z)
    for row in range(rows):
        theirs = filled(shape, weights, row)(z[row : row + 1])
        torch.testing.assert_close(ours[row : row + 1], theirs, rtol=0, atol=1e-12)


def test_weights_are_drawn_as_torch_draws_them() -> None:
    weights = draw_weights(SMALL, Random(0, "test", torch.arange(2)))
    for name, (size, feeding) in SMALL.tensors().items():
        assert weights[name].shape == (2, *size)
        if feeding:
            bound = feeding**-0.5
            assert weights[name].abs().max() <= bound
            if weights[name][0].numel() > 1000:
                assert weights[name].std() == pytest.approx(bound / 3**0.5, rel=0.05)
    assert not torch.equal(weights["0.down.weight"][0], weights["0.down.weight"][1])
    assert weights["0.down.scale"].eq(1).all()
    assert weights["0.join.shift"].eq(0).all()


@pytest.mark.parametrize(("down", "skip"), [((), ()), ((8,), (0, 0)), ((0,), (0,)), ((8,), (-1,))])
def test_a_size_that_is_none_is_refused(down: tuple[int, ...], skip: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="skip network"):
        SkipShape(down, skip)
