"""Gaussian noise in front of the classifier."""

from torch import Tensor

from superdef_bench import InputTransform, Random, hookimpl


class GaussianNoise(InputTransform):
    """Add fresh Gaussian noise to every image.

    The transform of randomized smoothing (Cohen et al., ICML 2019), without its vote: scored as
    any random defense, as a mean over draws.

    Args:
        sigma: Standard deviation of the noise, in pixel values of [0, 1].
    """

    stochastic = True

    def __init__(self, *, sigma: float = 0.05) -> None:
        super().__init__()
        if not 0 < sigma <= 1:
            raise ValueError(f"sigma is {sigma}, take a number above 0, up to 1")
        self.sigma = sigma

    def transform(self, x: Tensor, *, random: Random) -> Tensor:
        return (x + self.sigma * random.normal(*x.shape[1:])).clamp(0, 1)


@hookimpl
def register_defenses() -> dict[str, type[GaussianNoise]]:
    return {"gaussian_noise": GaussianNoise}
