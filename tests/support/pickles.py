"""A pickle that runs code when it is read."""

import os
from pathlib import Path
from typing import Any


class Evil:
    """What a malicious pickle holds: a command that runs when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)
