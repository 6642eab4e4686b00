"""Bit-depth reduction."""

from torch import Tensor

from superdef_bench import InputTransform, hookimpl


class BitDepth(InputTransform):
    """Fewer levels per channel (Xu et al., NDSS 2018; Guo et al., ICLR 2018).

    Args:
        bits: Bits per channel, 1 to 8.
    """

    differentiable = False
    reach = 0

    def __init__(self, *, bits: int = 3) -> None:
        super().__init__()
        if not 1 <= bits <= 8:
            raise ValueError(f"bits is {bits}, take 1 to 8")
        self.steps = 2**bits - 1

    def transform(self, x: Tensor) -> Tensor:
        return (x * self.steps).round() / self.steps


@hookimpl
def register_defenses() -> dict[str, type[BitDepth]]:
    return {"bit_depth": BitDepth}
