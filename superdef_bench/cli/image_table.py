"""What `show` prints and draws of one image of a run."""

import math
import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from superdef_bench.analysis.image import OneImage
from superdef_bench.analysis.recommended import Fall, falls
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
        far = _far(row["norm"], row[row["norm"]]) if row["rung"] else ""
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


def _far(norm: str, distance: float) -> str:
    return f"{norm} {eps_text(distance) if norm == 'linf' else f'{distance:.4f}'}"


def print_images(folder: Path) -> None:
    """Print the images of a run folder to look at, for `show`, and how to see the first.

    First those that a defense keeps right until the attacker knows it, then those that were
    broken most often.
    """
    rows = RecordStore(folder / "records").rows()
    if not rows:
        raise DataError(f"run {folder} has no records", hint="superdef-bench run CONFIG makes some")
    broken: dict[str, list[bool]] = {}
    for row in rows:
        if row["rung"] == MASKING:
            continue
        broken.setdefault(row["image_id"], []).append(row["success"])
    first = falls(rows)
    rest = sorted(
        (name for name in broken if name not in first), key=lambda name: -sum(broken[name])
    )
    order = [*first, *rest]
    table = Table(title=f"{len(order)} images")
    table.add_column("image id", overflow="fold")
    table.add_column("broken", justify="right")
    table.add_column("records", justify="right")
    table.add_column("right in gray box, broken by who knows", overflow="fold")
    for name in order[:_LISTED]:
        counts = str(sum(broken[name])), str(len(broken[name]))
        table.add_row(markup(name), *counts, markup(_words(first.get(name))))
    screen = console()
    screen.print(table)
    if first:
        screen.print(_command(folder, *next(iter(first.items()))), markup=False, soft_wrap=True)


def _words(fall: Fall | None) -> str:
    if fall is None:
        return ""
    return f"{fall.defense}: {fall.rung}, {fall.attack}, {eps_text(fall.eps)}"


def _command(folder: Path, image: str, fall: Fall) -> str:
    """Return the command that shows an image behind the defense that fell."""
    defense, attack = (name.partition(" (")[0] for name in (fall.defense, fall.attack))
    chosen = ["-d", defense, "-a", attack, "--rung", fall.rung]
    return shlex.join(["superdef-bench", "show", str(folder), image, *chosen])
