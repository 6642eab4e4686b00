"""Every reader of files, by its name."""

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.support.bank_readers import BANK_READERS
from tests.support.file_readers import FILE_READERS
from tests.support.reader import Reader
from tests.support.result_readers import RESULT_READERS

READERS: Mapping[str, Callable[[Path], Reader]] = {
    **RESULT_READERS,
    **FILE_READERS,
    **BANK_READERS,
}
