"""Feature squeezing as a transform."""

import torch
from torch import Tensor

from superdef_bench import InputTransform, hookimpl


class FeatureSqueezing(InputTransform):
    """Fewer levels per channel, then a median filter (Xu et al., NDSS 2018).

    Depth and window are those of the paper's joint setting for CIFAR-10 and ImageNet, without
    its non-local means. The paper detects: it compares the classifier's answers for the image and
    for each squeezed one, and refuses images on which they differ. That detector is not built.
    Here one squeezer follows the other, and the classifier answers on every image.

    The median is that of `scipy.ndimage.median_filter`, as in the paper's code: borders repeat
    their pixel, an even window reaches one pixel farther up and left, and takes the higher of the
    two middle values.

    Rounding has no gradient. Attacks that know the defense go back through the median alone, which
    picks the same pixel before and after rounding.

    Args:
        bits: Bits per channel, 1 to 8.
        window: Width of the median's window in pixels; 1 for no median.
    """

    differentiable = False

    def __init__(self, *, bits: int = 5, window: int = 2) -> None:
        super().__init__()
        if not 1 <= bits <= 8:
            raise ValueError(f"bits is {bits}, take 1 to 8")
        if window < 1:
            raise ValueError(f"window is {window}, take a whole number from 1")
        self.steps, self.window, self.reach = 2**bits - 1, window, window // 2

    def transform(self, x: Tensor) -> Tensor:
        return self._median((x * self.steps).round() / self.steps)

    def bpda_surrogate(self, x: Tensor) -> Tensor:
        return self._median(x)

    def _median(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        padded = x[..., self._mirrored(height, x.device)[:, None], self._mirrored(width, x.device)]
        windows = padded.unfold(2, self.window, 1).unfold(3, self.window, 1)  # (N, C, H, W, k, k)
        return windows.flatten(-2).kthvalue(self.window**2 // 2 + 1).values

    def _mirrored(self, side: int, device: torch.device) -> Tensor:
        """Return which pixels stand along a side and beyond its ends, the border's own twice."""
        places = torch.arange(self.window - 1 + side, device=device) - self.window // 2
        places = places % (2 * side)
        return torch.minimum(places, 2 * side - 1 - places)


@hookimpl
def register_defenses() -> dict[str, type[FeatureSqueezing]]:
    return {"feature_squeezing": FeatureSqueezing}
