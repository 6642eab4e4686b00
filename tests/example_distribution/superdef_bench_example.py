"""A third-party plugin as somebody would publish it."""

from torch import Tensor
from torch.nn import functional

from superdef_bench import InputTransform, hookimpl


class Soften(InputTransform):
    """Average over a 3x3 window."""

    def transform(self, x: Tensor) -> Tensor:
        return functional.avg_pool2d(functional.pad(x, [1] * 4, mode="replicate"), 3, stride=1)


@hookimpl
def register_defenses() -> dict[str, type[Soften]]:
    return {"soften": Soften}
