"""What `show` prints and draws of one image of a run."""

import math
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from superdef_bench.analysis.image import OneImage
from superdef_bench.cli.screen import cell as markup
from superdef_bench.cli.screen import console
from superdef_bench.core.errors import DataError
from superdef_bench.core.threats import CLEAN, MASKING
from superdef_bench.results.text import eps_text
from superdef_bench.run.records import RecordStore

_LISTED = 20


def print_image(image: OneImage, defenses: Sequence[str]) -> None:
    """Print the records of one image, under the named rows only if there are any."""
    names = image.benchmark.task.class_names
    rows = image.rows_of(defenses)
    title = f"{rows[0]['image_id']}: {names[rows[0]['label']]}"
    targets = [row["target"] for row in rows if row["target"] is not None]
    if targets:
        title += f", target {names[targets[0]]}"
    table = Table(title=markup(title))
    for column in ("defense", "rung", "attack", "says"):
        table.add_column(column, overflow="fold")
    for column in ("eps", "distance", "dB"):
        table.add_column(column, justify="right")
    for row in rows:
        says = "failed" if row["prediction"] < 0 else names[row["prediction"]]
        far = f"{row['norm']} {row[row['norm']]:.4f}" if row["rung"] else ""
        table.add_row(
            markup(row["defense"]),
            markup(row["rung"] or CLEAN),
            markup(row["attack"]) if row["rung"] else "",
            ("x " if row["success"] else "") + markup(says),
            eps_text(row["eps"]) if row["eps"] is not None else "",
            far,
            "" if not math.isfinite(row["psnr"]) else f"{row['psnr']:.1f}",
        )
    screen = console()
    screen.print(table)
    screen.print("x: broken. dB: PSNR of what the classifier saw.", markup=False)


def print_images(folder: Path) -> None:
    """Print the images of a run folder that were broken most often, for `show`."""
    rows = RecordStore(folder / "records").rows()
    if not rows:
        raise DataError(f"run {folder} has no records", hint="superdef-bench run CONFIG makes some")
    broken: dict[str, list[bool]] = {}
    for row in rows:
        if row["rung"] == MASKING:
            continue
        broken.setdefault(row["image_id"], []).append(row["success"])
    order = sorted(broken, key=lambda name: -sum(broken[name]))
    table = Table(title=f"{len(order)} images, those broken most often first")
    table.add_column("image id", overflow="fold")
    table.add_column("broken", justify="right")
    table.add_column("records", justify="right")
    for name in order[:_LISTED]:
        table.add_row(markup(name), str(sum(broken[name])), str(len(broken[name])))
    console().print(table)
