"""Where the files are that come with the package: configs and plugins."""

from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).parents[1]


def shipped(kind: Literal["configs", "plugins"]) -> Path:
    """Return the folder of the shipped configs or plugins, of a wheel or of the repository."""
    inside = _PACKAGE / f"_{kind}"
    return inside if inside.is_dir() else _PACKAGE.parent / kind
