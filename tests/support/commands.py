"""The real command line's answer, a small config, and the records of a run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

CONFIG = """
[run]
dataset = "signs"
model = "signs_resnet8"
limit = 8
batch_size = 8
masking = 0
rungs = ["gray_box", "white_box", "bpda"]

[attacks]
fgsm = {}

[defenses]
bicubic_x2 = {}
"""


def with_rows(attacks: str = "", defenses: str = "") -> str:
    """Return the small config with more attacks and defenses, before its own."""
    text = CONFIG.replace("fgsm = {}", f"{attacks}\nfgsm = {{}}")
    return text.replace("bicubic_x2 = {}", f"{defenses}\nbicubic_x2 = {{}}")


@dataclass
class Answer:
    """What a command printed and its exit code."""

    code: int
    out: str
    err: str


def records(folder: Path) -> list[dict[str, Any]]:
    """Return the records of a run folder as rows."""
    files = sorted((folder / "records").glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]
