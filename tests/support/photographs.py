"""Real photographs that come with scikit-image, for tests that train or measure."""

import shutil
from pathlib import Path

import skimage

_TRAINING = ("astronaut.png", "brick.png", "coffee.png", "grass.png", "motorcycle_left.png")
_HELD_OUT = ("chelsea.png", "rocket.jpg")


def write_photographs(folder: Path) -> Path:
    """Copy photographs into a folder; the two held out come last by name."""
    folder.mkdir(parents=True)
    source = Path(skimage.__file__).parent / "data"
    for name in _TRAINING:
        shutil.copy(source / name, folder / f"a_{name}")
    for name in _HELD_OUT:
        shutil.copy(source / name, folder / f"z_{name}")
    return folder
