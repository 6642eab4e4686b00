"""A linear classifier: replace this line by what your model is."""

from pathlib import Path

from torch import Tensor, nn

from superdef_bench import hookimpl
from superdef_bench.nn import load_weights


class MyModel(nn.Module):
    """Linear classifier of 8x8 pixels, untrained by default (replace: one line, with its paper).

    Args:
        classes: Classes of the dataset.
        channels: 3 for RGB, 1 for grey.
        weights: What `superdef-bench train` wrote for this network; empty for none.
    """

    def __init__(self, *, classes: int = 20, channels: int = 3, weights: str = "") -> None:
        super().__init__()
        if classes < 2:
            raise ValueError(f"classes is {classes}, take 2 or more")
        self.layers = nn.Sequential(
            nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(channels * 64, classes)
        )
        if weights:
            self.layers.load_state_dict(load_weights(Path(weights)))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `(N, K)` for images `(N, C, H, W)` in [0, 1]."""
        return self.layers((x - 0.5) / 0.25)  # normalisation lives inside the model


@hookimpl
def register_models() -> dict[str, type[MyModel]]:
    return {"my_model": MyModel}
