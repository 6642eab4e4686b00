"""The SuperDef student: a stack of plain 3x3 convolutions that trains with several branches."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from superdef_bench.core.transform import resize
from superdef_bench.nn.layers import check_sizes, conv3

# Sobel in both directions and the Laplacian.
_EDGES = (
    ((1.0, 0.0, -1.0), (2.0, 0.0, -2.0), (1.0, 0.0, -1.0)),
    ((1.0, 2.0, 1.0), (0.0, 0.0, 0.0), (-1.0, -2.0, -1.0)),
    ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0)),
)


class BranchedConv(nn.Module):
    """A 3x3 convolution that is the sum of branches, after ECBSR (Zhang et al., ACM MM 2021).

    The branches: a 3x3 convolution; a 1x1 convolution to more channels and a 3x3 one back; 1x1
    convolutions before fixed edge filters; the identity where the channels agree. All are linear,
    so one kernel computes their sum. It is built from them in every forward pass, which costs
    the time of a plain convolution, and gradients reach every branch through it.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        expansion: Channels between the two convolutions of the second branch over `inputs`.
    """

    edges: Tensor

    def __init__(self, inputs: int, outputs: int, *, expansion: int = 2) -> None:
        super().__init__()
        self.plain = conv3(inputs, outputs)
        self.widen = nn.Conv2d(inputs, expansion * inputs, 1)
        self.narrow = nn.Conv2d(expansion * inputs, outputs, 3)
        self.mix = nn.Parameter(torch.empty(len(_EDGES), outputs, inputs))
        nn.init.kaiming_uniform_(self.mix.data.flatten(0, 1), a=math.sqrt(5))
        self.gains = nn.Parameter(1e-3 * torch.randn(len(_EDGES), outputs))
        self.register_buffer("edges", torch.tensor(_EDGES), persistent=False)
        self.identity = inputs == outputs

    def kernel(self) -> tuple[Tensor, Tensor]:
        """Return the weight `(O, I, 3, 3)` and bias `(O,)` of the one convolution."""
        assert self.plain.bias is not None
        assert self.narrow.bias is not None
        assert self.widen.bias is not None
        weight, bias = self.plain.weight, self.plain.bias
        # Zeros are padded before the 1x1 convolution, so its bias reaches every tap.
        widen = self.widen.weight[:, :, 0, 0]  # (M, I)
        weight = weight + torch.einsum("omhw,mi->oihw", self.narrow.weight, widen)
        bias = bias + self.narrow.bias + self.narrow.weight.sum(dim=(2, 3)) @ self.widen.bias
        weight = weight + torch.einsum("eo,eoi,ehw->oihw", self.gains, self.mix, self.edges)
        if self.identity:
            centre = torch.zeros_like(weight)
            places = torch.arange(len(weight), device=weight.device)
            centre[places, places, 1, 1] = 1.0
            weight = weight + centre
        return weight, bias

    def fold(self) -> nn.Conv2d:
        """Return the plain convolution that computes the same."""
        with torch.no_grad():
            weight, bias = self.kernel()
            conv = conv3(weight.shape[1], weight.shape[0]).to(weight)
            conv.weight.copy_(weight)
            assert conv.bias is not None
            conv.bias.copy_(bias)
        return conv

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, *self.kernel(), padding=1)


class SuperDef(nn.Module):
    """Student of RCAN: plain 3x3 convolutions, pixel shuffle, and a bicubic skip.

    A reconstruction: the size of the student in the thesis that names SuperDef is not public.
    It trains with several branches per layer and is used folded, as plain convolutions: the
    folded network is what is attacked, timed and shipped.

    Args:
        layers: Convolutions of `features` channels, between the first one and the tail.
        features: Channels.
        scale: 2, 3 or 4.
        folded: Build plain convolutions, to load folded weights.
    """

    def __init__(
        self, *, layers: int = 8, features: int = 48, scale: int = 2, folded: bool = False
    ) -> None:
        super().__init__()
        check_sizes(scale, layers=layers, features=features)
        build = conv3 if folded else BranchedConv
        self.scale, self.size = scale, f"{layers}x{features}"
        self.reach = layers + 2  # a pixel for each convolution; the bicubic skip sees three
        self.body = nn.ModuleList(
            [build(3, features), *(build(features, features) for _ in range(layers))]
        )
        self.tail = conv3(features, 3 * scale**2)
        # At the start it is bicubic interpolation; training can only add to that.
        nn.init.zeros_(self.tail.weight)
        assert self.tail.bias is not None
        nn.init.zeros_(self.tail.bias)

    def fold(self) -> "SuperDef":
        """Turn every branched convolution into a plain one, in place; return the network."""
        self.body = nn.ModuleList(
            conv.fold() if isinstance(conv, BranchedConv) else conv for conv in self.body
        )
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Map images `(N, 3, H, W)` in [0, 1] to `(N, 3, scale H, scale W)`, not clipped."""
        features = x.to(self.tail.weight.dtype)  # convolutions may be of lower precision
        for conv in self.body:
            features = conv(features).relu()
        detail = functional.pixel_shuffle(self.tail(features), self.scale)
        return resize(x, (self.scale * x.shape[-2], self.scale * x.shape[-1])) + detail
