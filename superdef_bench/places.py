"""Where downloads are kept."""

import os
from pathlib import Path

DATA_VARIABLE = "SUPERDEF_BENCH_DATA_DIR"


def data_directory() -> Path:
    """Return the folder of downloaded data sets and zoo models.

    It is the `--data-dir` of the command line, else the variable `SUPERDEF_BENCH_DATA_DIR`, else
    `data` in the current folder. Where data lies is in no key and in no published file.
    """
    return Path(os.environ.get(DATA_VARIABLE) or "data").expanduser()
