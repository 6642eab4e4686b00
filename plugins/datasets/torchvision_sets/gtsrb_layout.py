"""GTSRB as its authors packed it: a table of labels beside the images."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from superdef_bench import DataError, LabelColumns, LabelTable

_COLUMNS = LabelColumns("Filename", "", "ClassId", base=0, separator=";")


@dataclass(frozen=True)
class Layout:
    """The images of a split on disk.

    Args:
        root: Folder of the images.
        labels: Label of each, by its place below the folder.
    """

    root: Path
    labels: Mapping[str, int]


def official_layout(folder: Path, split: str, num_classes: int) -> Layout:
    """Return the images of a split: `Final_Training/Images/<class>/` or `Final_Test/Images/`.

    Args:
        folder: It has a folder `GTSRB`, as the archives unpack.
        split: `train` or `test`.
        num_classes: How many there must be.

    Raises:
        DataError: A folder, a table or an image is missing, or a table says what cannot be.
    """
    if not (folder / "GTSRB").is_dir():
        raise DataError(
            f"folder {folder} has no folder GTSRB",
            hint="unpack the archives of the benchmark there; see docs/datasets.md",
        )
    if split == "test":
        root = folder / "GTSRB/Final_Test/Images"
        table = LabelTable(folder / "GTSRB/GT-final_test.csv", root, _COLUMNS)
        table.check_range(num_classes)
        return Layout(root, table.labels)
    root = folder / "GTSRB/Final_Training/Images"
    return Layout(root, dict(_training(root, num_classes)))


def _training(root: Path, num_classes: int) -> Iterator[tuple[str, int]]:
    for label in range(num_classes):
        name = f"{label:05d}"
        table = LabelTable(root / name / f"GT-{name}.csv", root / name, _COLUMNS)
        for place, found in table.labels.items():
            if found != label:
                raise DataError(
                    f"table {root / name}/GT-{name}.csv has images of class {found}",
                    hint="unpack the archive again",
                )
            yield f"{name}/{place}", label


def track_of(place: str) -> str:
    """Return the track of a training image: frames of one sign, as a car came nearer."""
    inside = PurePosixPath(place)
    return f"{inside.parent}/{inside.stem.partition('_')[0]}"
