"""A finished run, copied into a folder of its own. What is copied is what another run resumes."""

import shutil
from pathlib import Path

from superdef_bench.core.errors import DataError
from superdef_bench.io.files import portable, write_error
from superdef_bench.measure.run_costs import FILE as COSTS
from superdef_bench.results.load import FILE
from superdef_bench.results.schema import Results
from superdef_bench.run.claim import BANK, RECORDS, claim
from superdef_bench.run.manifest import MANIFEST


def save_run(source: Path, results: Results, folder: Path) -> Results:
    """Copy a run folder; return its results, which name the new folder.

    Args:
        source: Run folder.
        results: Its results.
        folder: A new or empty folder, or the same one.

    Raises:
        DataError: It holds something else, or cannot be written.
    """
    document = results.document
    provenance = {**document["provenance"], "folder": portable(folder)}
    named = Results.of({**document, "provenance": provenance})
    if folder.exists() and folder.samefile(source):
        return results
    try:
        if folder.is_dir() and any(folder.iterdir()):
            raise DataError(f"folder {folder} is not empty", hint="save into a new one")
        with claim(folder) as claimed:
            for name in (RECORDS, BANK):
                if (source / name).is_dir():
                    shutil.copytree(source / name, folder / name, dirs_exist_ok=True)
            for name in (COSTS, MANIFEST):
                if (source / name).is_file():
                    shutil.copyfile(source / name, folder / name)
            claimed.check()
            named.save(folder / FILE)  # last: a folder without results is no finished run
    except shutil.Error as error:
        raise DataError(f"{folder} cannot be written", hint="choose another folder") from error
    except OSError as error:
        raise write_error(folder, error) from error
    return named
