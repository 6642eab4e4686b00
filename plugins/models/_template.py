"""A linear classifier: replace this line by what your model is."""

from pathlib import Path

from torch import Tensor, nn

from superdef_bench import hookimpl
from superdef_bench.nn import fill, read_tensors, untrained


class MyModel(nn.Module):
    """Linear classifier of 8x8 pixels (replace: one line, with its paper).

    Args:
        classes: Classes of the dataset.
        channels: 3 for RGB, 1 for grey.
        path: Its weights, a state dict in a file of `torch.save` or safetensors, read as data only;
            empty leaves the random weights of seed 0, to try things out.
        sha256: Hash that the file must have (`sha256sum FILE`); not checked if empty.
    """

    def __init__(
        self, *, classes: int = 20, channels: int = 3, path: str = "", sha256: str = ""
    ) -> None:
        super().__init__()
        if classes < 2:
            raise ValueError(f"classes is {classes}, take 2 or more")
        pixels = nn.AdaptiveAvgPool2d(8), nn.Flatten()
        self.layers = nn.Sequential(*pixels, untrained(nn.Linear, channels * 64, classes))
        if path:
            file = Path(path)
            fill(self.layers, read_tensors(file, sha256), file, f"my_model with {classes} classes")

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `(N, K)` for images `(N, C, H, W)` in [0, 1]."""
        return self.layers((x - 0.5) / 0.25)  # normalisation lives inside the model


@hookimpl
def register_models() -> dict[str, type[MyModel]]:
    return {"my_model": MyModel}
