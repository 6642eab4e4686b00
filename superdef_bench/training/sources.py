"""What --data names: a dataset plugin, a folder or a zip."""

from superdef_bench import api
from superdef_bench.errors import DataError
from superdef_bench.places import data_directory, find_data
from superdef_bench.suggest import did_you_mean
from superdef_bench.training.photographs import (
    Photographs,
    dataset_photographs,
    read_photographs,
)


def is_plugin(data: str) -> bool:
    """Return whether `data` is a dataset plugin's name; `./name` means the folder."""
    return data in api.plugins().plugins["dataset"]


def photographs_of(data: str, scale: int, *, least: int) -> Photographs:
    """Return the photographs that `data` names, of a dataset plugin its training images.

    Raises:
        DataError: They are missing, too few, too small, or one cannot be read.
    """
    if not is_plugin(data):
        place = find_data(data)
        if not place.exists():
            close = did_you_mean(data, api.plugins().plugins["dataset"])
            hint = f"put photographs there, or name a folder or a zip of them; {close}"
            raise DataError(
                f"training data {data} does not exist, neither here nor in {data_directory()}",
                hint=hint,
            )
        return read_photographs(place, scale, least=least)
    return dataset_photographs(api.load_dataset(data, split="train"), scale, least=least)
