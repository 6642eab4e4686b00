"""A CSV that names images of a folder and their labels."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from superdef_bench.core.errors import DataError
from superdef_bench.io.files import read_file

_MOST_BYTES = 2**27  # a line for each image of ImageNet has a third


@dataclass(frozen=True)
class LabelColumns:
    """What of a table is the image, and what its label.

    Args:
        image: Column of the image.
        suffix: What follows the name there to make that of the file.
        label: Column of the label.
        base: Label of the first class.
        separator: Stands between two columns.
        settable: Whether the user chose them, and is told how to choose others.
    """

    image: str = "ImageId"
    suffix: str = ".png"
    label: str = "TrueLabel"
    base: int = 1
    separator: str = ","
    settable: bool = False


class LabelTable:
    """A CSV with a header, of the images of a folder and their labels.

    Args:
        file: The CSV.
        root: Folder of the images.
        columns: What of it is read.

    Attributes:
        labels: Label of each image, counted from 0, by the image's place below the folder.

    Raises:
        DataError: It cannot be read, has no such column, names an image that is missing, twice or
            outside of the folder, or a label that is no number.
    """

    def __init__(self, file: Path, root: Path, columns: LabelColumns) -> None:
        self._file, self._root, self._columns = file, root, columns
        self._lines: dict[str, int] = {}
        self.labels: dict[str, int] = {}
        rows = csv.DictReader(io.StringIO(_text(file)), delimiter=columns.separator)
        try:
            self._read_rows(rows)
        except csv.Error as error:
            raise DataError(
                f"table {file}, line {rows.line_num}: {error}",
                hint=f"a line is an image and its label, separated by {columns.separator!r}",
            ) from error
        self._check_images()

    def _read_rows(self, rows: "csv.DictReader[str]") -> None:
        columns, known = self._columns, rows.fieldnames or []
        missing = [column for column in (columns.image, columns.label) if column not in known]
        if missing:
            do = "set image_column and label_column" if columns.settable else "get it again"
            raise DataError(
                f"table {self._file} has no column {missing[0]!r}",
                hint=f"it has {', '.join(known)}; {do}",
            )
        for row in rows:
            place = f"{row[columns.image] or ''}{columns.suffix}"
            inside = PurePosixPath(place)
            if inside.is_absolute() or ".." in inside.parts or place in self.labels:
                what = "stands twice" if place in self.labels else "lies outside of its folder"
                raise DataError(f"table {self._file}, line {rows.line_num}: {place[:80]!r} {what}")
            try:
                self.labels[place] = int(row[columns.label] or "") - columns.base
            except ValueError as error:
                said = (row[columns.label] or "")[:80]
                raise DataError(
                    f"table {self._file}, line {rows.line_num}: {columns.label} is {said!r}",
                    hint="labels are whole numbers",
                ) from error
            self._lines[place] = rows.line_num

    def _check_images(self) -> None:
        if not self.labels:
            raise DataError(f"table {self._file} lists no images")
        absent = [place for place in self.labels if not _is_file(self._root / place)]
        if absent:
            columns = self._columns
            raise DataError(
                f"image {str(self._root / absent[0])[:200]} of table {self._file} is missing: "
                f"{len(absent)} of {len(self.labels)} are",
                hint=f"an image is path/split/{columns.image} + image_suffix, here "
                f"{columns.suffix!r}"
                if columns.settable
                else "unpack the archive again",
            )

    def check_range(self, count: int) -> None:
        """Raise DataError for a label that is none of `count` classes."""
        base = self._columns.base
        for place, label in self.labels.items():
            if 0 <= label < count:
                continue
            wrong = f"above the last of {count} classes" if label >= 0 else f"below {base}"
            raise DataError(
                f"table {self._file}, line {self._lines[place]}: label {label + base} is {wrong}",
                hint="label_base is the label of the first class; set num_classes, or classes"
                if self._columns.settable
                else f"labels of this table count from {base}; get it again",
            )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long for any file
        return False


def _text(file: Path) -> str:
    try:
        return read_file(file, most=_MOST_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", "") or "it is no UTF-8 text"
        raise DataError(f"table of labels {file} cannot be read: {reason}") from error
