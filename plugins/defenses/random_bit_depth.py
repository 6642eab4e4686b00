"""Bit-depth reduction by a number of bits that is drawn."""

from torch import Tensor

from superdef_bench import InputTransform, Random, hookimpl


class RandomBitDepth(InputTransform):
    """Fewer levels per channel, each image with a number of bits of its own.

    Bit-depth reduction (Xu et al., NDSS 2018; Guo et al., ICLR 2018) whose depth the attacker
    cannot know in advance. BPDA passes the rounding by.

    Args:
        fewest: Least number of bits per channel, 1 to 8.
        most: Greatest number of bits, `fewest` to 8.
    """

    differentiable = False
    stochastic = True

    def __init__(self, *, fewest: int = 2, most: int = 5) -> None:
        super().__init__()
        if not 1 <= fewest <= most <= 8:
            raise ValueError(f"fewest is {fewest}, most {most}: take 1 <= fewest <= most <= 8")
        self.fewest, self.most = fewest, most

    def transform(self, x: Tensor, *, random: Random) -> Tensor:
        bits = random.integers(self.fewest, self.most + 1)  # (N,)
        steps = (2.0**bits - 1)[:, None, None, None].to(x.dtype)
        return (x * steps).round() / steps


@hookimpl
def register_defenses() -> dict[str, type[RandomBitDepth]]:
    return {"random_bit_depth": RandomBitDepth}
