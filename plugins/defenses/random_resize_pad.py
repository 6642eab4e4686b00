"""Random resizing and padding."""

import torch
from torch import Tensor

from superdef_bench import InputTransform, Random, hookimpl


class RandomResizePad(InputTransform):
    """Enlarge to a random size and pad with black at a random place (Xie et al., ICLR 2018).

    Each image draws its own size and place. Xie et al. enlarge 299 pixels to 299..330 and pad to
    331; the same ratio is kept here. Enlargement is by nearest neighbour.

    Args:
        ratio: Side of the padded image over that of the input.
    """

    stochastic = True

    def __init__(self, *, ratio: float = 331 / 299) -> None:
        super().__init__()
        if not 1 < ratio <= 2:
            raise ValueError(f"ratio is {ratio}, take a number above 1, up to 2")
        self.ratio = ratio

    def transform(self, x: Tensor, *, random: Random) -> Tensor:
        height, width = x.shape[-2:]
        full = max(height + 1, round(height * self.ratio))
        scale = random.integers(height, full) / height  # (N,)
        places = random.uniform(2)
        rows, row_inside = self._sources(height, full, scale, places[:, 0])
        wide = max(width + 1, round(width * full / height))
        columns, column_inside = self._sources(width, wide, scale, places[:, 1])
        image = torch.arange(len(x), device=x.device)[:, None, None]
        picked = x[image, :, rows[:, :, None], columns[:, None, :]]  # (N, H', W', C)
        inside = row_inside[:, :, None] & column_inside[:, None, :]
        return (picked * inside[..., None]).permute(0, 3, 1, 2)

    @staticmethod
    def _sources(side: int, full: int, scale: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        """Return where each of `full` places reads from, `(N, full)`, and whether it reads."""
        size = (side * scale).floor()
        start = (place * (full - size + 1)).floor()
        steps = torch.arange(full, device=scale.device) - start[:, None]
        inside = (steps >= 0) & (steps < size[:, None])
        source = ((steps + 0.5) / scale[:, None]).floor().long()
        return source.clamp(0, side - 1), inside


@hookimpl
def register_defenses() -> dict[str, type[RandomResizePad]]:
    return {"random_resize_pad": RandomResizePad}
