"""What `show` prints and draws of one image of a run."""

import math
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape as markup
from rich.table import Table

from superdef_bench.errors import ConfigError, DataError
from superdef_bench.files import write_atomically
from superdef_bench.formats import eps_text
from superdef_bench.one_image import OneImage, is_called
from superdef_bench.records import RecordStore
from superdef_bench.show import console
from superdef_bench.strips import Panels, draw_strip
from superdef_bench.suggest import did_you_mean
from superdef_bench.types import MASKING

_LISTED = 20


def print_image(image: OneImage, defenses: Sequence[str]) -> None:
    """Print the records of one image, under the named rows only if there are any."""
    names = image.benchmark.task.class_names
    _check_rows(image, defenses)
    rows = [
        row
        for row in image.rows
        if not defenses or any(is_called(row["defense"], name) for name in defenses)
    ]
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
            row["rung"] or "clean",
            markup(row["attack"]) if row["rung"] else "",
            ("x " if row["success"] else "") + markup(says),
            eps_text(row["eps"]) if row["eps"] is not None else "",
            far,
            "" if not math.isfinite(row["psnr"]) else f"{row['psnr']:.1f}",
        )
    screen = console()
    screen.print(table)
    screen.print("x: broken. dB: PSNR of what the classifier saw.", markup=False)


def _check_rows(image: OneImage, defenses: Sequence[str]) -> None:
    known = dict.fromkeys(row["defense"] for row in image.rows)
    for name in defenses:
        if not any(is_called(row, name) for row in known):
            raise ConfigError(f"the run has no row {name!r}", hint=did_you_mean(name, known))


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


def write_strip(
    image: OneImage, path: Path, *, attack: str, rung: str, defenses: Sequence[str]
) -> None:
    """Draw one image under an attack and rung at its last eps, a row of panels per defense."""
    _check_rows(image, defenses)
    rungs = dict.fromkeys(r["rung"] for r in image.rows if r["rung"] not in ("", MASKING))
    attacked = [
        row
        for row in image.rows
        if row["rung"] == rung != MASKING
        and (not defenses or any(is_called(row["defense"], name) for name in defenses))
    ]
    found = {row["attack"] for row in attacked}
    # The first one that counts, where there is one: a corruption says little.
    by_weight = sorted(image.benchmark.attacks, key=lambda built: not built.counted)
    known = [built.name for built in by_weight if built.name in found]
    chosen = next((name for name in known if not attack or is_called(name, attack)), "")
    if not chosen:
        where = image.rows[0]["image_id"]
        raise ConfigError(
            f"the run has no records of {where!r} under "
            + " ".join(filter(None, [rung, attack, *defenses])),
            hint=did_you_mean(attack, known) if known else f"rungs: {', '.join(rungs)}",
        )
    names, strip = image.benchmark.task.class_names, []
    for sight in image.sights(chosen, rung, defenses):
        row = sight.record
        says = "failed" if row["prediction"] < 0 else names[row["prediction"]]
        words = f"{row['defense']}, {rung} {chosen} {eps_text(row['eps'])}: {says}"
        words += " (broken)" if row["success"] else ""
        words += "; made again alone, may differ" if sight.again else ""
        seen = sight.defended, sight.defended_clean
        strip.append(Panels(sight.clean, sight.adversarial, *seen, words))
    write_atomically(path, draw_strip(strip))
