"""A classifier that hides its gradient: it rounds what it sees, and a rounding has no slope."""

from torch import Tensor, nn

from superdef_bench import load_model

_LEVELS = 15


class Rounded(nn.Module):
    """The adversarially trained classifier of signs behind a rounding to 16 levels."""

    def __init__(self) -> None:
        super().__init__()
        self.network = load_model("signs_resnet8_at")

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network((x * _LEVELS).round() / _LEVELS)
        return logits
