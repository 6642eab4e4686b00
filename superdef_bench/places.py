"""Where downloads are kept."""

import os
from pathlib import Path

DATA_VARIABLE = "SUPERDEF_BENCH_DATA_DIR"


def find_data(data: str) -> Path:
    """Return the place that `data` names, from the current folder, else in `data_directory`."""
    here = Path(data).expanduser()
    below = data_directory() / here
    return below if not here.exists() and below.exists() else here


def data_directory() -> Path:
    """Return the folder of downloaded data sets and zoo models.

    It is the `--data-dir` of the command line, else the variable `SUPERDEF_BENCH_DATA_DIR`, else
    `data` in the current folder. Where data lies is in no key and in no published file.
    """
    return Path(os.environ.get(DATA_VARIABLE) or "data").expanduser()
