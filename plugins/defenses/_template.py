"""Lower contrast: replace this line by what your defense does."""

from torch import Tensor

from superdef_bench import InputTransform, hookimpl


class MyDefense(InputTransform):
    """Pull every pixel towards the mean of its channel (replace: one line, with its paper).

    Args:
        strength: 0 keeps the image, 1 leaves the mean alone (replace: your arguments).
    """

    # False where rounding, a codec or `detach` hides the gradient; BPDA then goes around it.
    differentiable = True

    def __init__(self, *, strength: float = 0.5) -> None:
        super().__init__()
        if not 0 <= strength <= 1:
            raise ValueError(f"strength is {strength}, take 0 to 1")
        self.strength = strength

    def transform(self, x: Tensor) -> Tensor:
        """Return images in [0, 1] for images `(N, C, H, W)` in [0, 1], each on its own."""
        mean = x.mean(dim=(-2, -1), keepdim=True)  # (N, C, 1, 1)
        return ((1 - self.strength) * x + self.strength * mean).clamp(0.0, 1.0)


@hookimpl
def register_defenses() -> dict[str, type[MyDefense]]:
    return {"my_defense": MyDefense}
