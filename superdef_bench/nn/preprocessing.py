"""How images are normalised for a classifier, as the layout of the Hugging Face hub says it."""

from pathlib import Path

from superdef_bench.core.errors import DataError
from superdef_bench.io.documents import parse_json
from superdef_bench.io.files import read_file

_MOST = 2**20  # bytes; such a file has some hundreds
_FILE = "preprocessor_config.json"


# Steps that are neither resize, rescale nor normalise, and change what a classifier sees.
_OTHER = ("rescale_offset", "include_top", "do_flip_channel_order")
_TWICE = "EfficientNet"  # its processor normalises a second time unless include_top is false


def _others(found: object) -> list[str]:
    """Return the steps of a file that are not done here."""
    if not isinstance(found, dict):
        return []
    kind = str(found.get("image_processor_type", found.get("feature_extractor_type", "")))
    given = {"include_top": True, **found} if kind.startswith(_TWICE) else found
    return [key for key in _OTHER if given.get(key)]


def read_preprocessing(folder: Path) -> tuple[list[float], list[float]]:
    """Return mean and deviation per channel for images in [0, 1]; both empty for none.

    Resizing and cropping, which the file names too, belong to the dataset.

    Args:
        folder: It has a `preprocessor_config.json`.

    Raises:
        DataError: The file is missing, no JSON, names no numbers, or asks for steps of its own.
    """
    path = folder / _FILE
    try:
        found = parse_json(read_file(path, most=_MOST))
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}",
            hint="it says how images are normalised; take the folder as a whole",
        ) from error
    except ValueError as error:
        raise DataError(f"{path} is no JSON: {error}", hint="get the file again") from error
    if others := _others(found):
        raise DataError(
            f"{path} asks for steps that are not done here: {', '.join(others)}",
            hint="write a model plugin, or a class of your own with python:, that does it",
        )
    try:
        # Of a pixel of 0..255; what it becomes is then normalised.
        scale = 255 * (found.get("rescale_factor", 1 / 255) if found.get("do_rescale", True) else 1)
        if not found.get("do_normalize", True):
            return ([], []) if abs(scale - 1) < 1e-6 else ([0.0], [1 / scale])
        mean = [float(value) / scale for value in found["image_mean"]]
        std = [float(value) / scale for value in found["image_std"]]
        if not mean or len(mean) != len(std) or min(std) <= 0:
            raise ValueError
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} names no image_mean and image_std", hint="take the folder of an image model"
        ) from error
    return mean, std
