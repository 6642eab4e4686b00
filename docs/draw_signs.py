"""Draw the contact sheet of the embedded benchmark: `python docs/draw_signs.py`."""

from pathlib import Path

import numpy as np
from PIL import Image

from superdef_bench import load_dataset

ROWS, SCALE = 6, 2


def main() -> None:
    signs = load_dataset("signs")
    images, _ = signs.load(range(ROWS * signs.num_classes))
    tiles = images.permute(0, 2, 3, 1).numpy().reshape(ROWS, signs.num_classes, 32, 32, 3)
    sheet = tiles.swapaxes(1, 2).reshape(ROWS * 32, signs.num_classes * 32, 3)
    picture = Image.fromarray(np.rint(sheet * 255).astype(np.uint8))
    size = (picture.width * SCALE, picture.height * SCALE)
    picture.resize(size, Image.Resampling.NEAREST).save(Path(__file__).with_name("signs.png"))


if __name__ == "__main__":
    main()
