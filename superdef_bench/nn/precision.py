"""Networks that compute in half precision, and gradients that survive it."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from superdef_bench.nn.layers import MeanShift

Dtype = Literal["float32", "bfloat16", "float16"]

DTYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
_PEAK = 256.0  # far from both ends of float16, whose range is 6e-8 to 65504


def lower(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Cast the weights of `network` in place, mean shifts apart; return it.

    Mean shifts carry the pixels past the convolutions, at the precision of images.
    """
    for module in network.modules():
        if not isinstance(module, MeanShift):
            for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                if tensor.is_floating_point():
                    tensor.data = tensor.data.to(dtype)
    return network


def with_scaled_gradient(network: nn.Module, x: Tensor) -> Tensor:
    """Return `network(x)` in float32; gradients keep their size however small they are.

    A confident classifier sends back gradients far below what float16 holds; they would come
    out as zeros and an attack would stop at a defense that hides nothing. So what goes back
    through the network is brought to a fixed size per image, and back again behind it.
    """
    if not x.requires_grad:
        return network(x).float()
    scales: list[Tensor] = []
    entered = _Unscale.apply(x, scales)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    out: Tensor = _Scale.apply(network(entered).float(), scales)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return out


class _Scale(torch.autograd.Function):
    """The identity; each image's gradient is divided to a fixed largest value."""

    @staticmethod
    def forward(ctx: Any, out: Tensor, scales: list[Tensor]) -> Tensor:
        ctx.scales = scales
        return out.view_as(out)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        largest = gradient.abs().amax(dim=(1, 2, 3), keepdim=True)
        scale = (largest / _PEAK).clamp_min(torch.finfo(largest.dtype).tiny)
        ctx.scales[:] = [scale]
        return gradient / scale, None


class _Unscale(torch.autograd.Function):
    """The identity; each image's gradient gets back what `_Scale` divided it by."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scales: list[Tensor]) -> Tensor:
        ctx.scales = scales
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.scales[0], None
