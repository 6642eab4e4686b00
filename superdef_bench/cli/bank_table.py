"""What the commands on a bank print. No torch."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from superdef_bench.cli.output import say, write
from superdef_bench.cli.tables import print_table
from superdef_bench.results.table import Cell, Line, Table
from superdef_bench.run.bank.index import Holding, Index

if TYPE_CHECKING:
    from superdef_bench.run.bank.check import Finding

_HEAD = ("attack", "made on", "rung", "eps", "images", "MiB")


def index_table(run: Path, index: Index) -> Table:
    """Return what a bank holds as a table."""
    caption = f"{run}: {_files(len(index.files))} of examples, {_mib(index.size)} MiB"
    return Table("bank", caption, _HEAD, [_line(held) for held in index.holdings])


def _line(held: Holding) -> Line:
    origin = held.origin
    eps = f"{origin.norm} {origin.eps}" if origin.eps else "no ball"
    words = (origin.attack, origin.made_on, origin.rung.replace("_", " "), eps)
    numbers = (Cell(str(held.images), held.images), Cell(_mib(held.size), held.size))
    return Line([*map(Cell, words), *numbers])


def print_index(run: Path, index: Index) -> None:
    """Print what a bank holds, and what of it nothing is known of."""
    print_table(index_table(run, index))
    if index.unknown:
        size = sum(file.size for file in index.unknown)
        say(f"{_files(len(index.unknown))}, {_mib(size)} MiB: nothing says what made them.")
        say("The same run command again says it of all that its config uses.")
    damaged = [file for file in index.unknown if file.damage]
    if damaged:
        say(f"{len(damaged)} of them are damaged: superdef-bench bank verify {run}")


def print_index_json(run: Path, index: Index) -> None:
    """Print what a bank holds as JSON."""
    unknown = [{"file": file.path.as_posix(), "bytes": file.size} for file in index.unknown]
    document = {"run": run.as_posix(), "examples": [held.facts() for held in index.holdings]}
    write(json.dumps({**document, "unknown": unknown}, indent=1) + "\n")


def print_findings(run: Path, found: Sequence["Finding"]) -> None:
    """Print which files of a bank are damaged and why, and how many are good."""
    damaged = [finding for finding in found if finding.damage]
    for finding in damaged:
        say(f"damaged: {finding.path}: {finding.damage}")
    good = len(found) - len(damaged)
    balls = sum(finding.in_ball for finding in found)
    say(f"{run}: {good} of {_files(len(found))} are good; the ball was checked of {balls}")
    if damaged:
        say("A run that needs a damaged file makes it again.")


def print_findings_json(run: Path, found: Sequence["Finding"]) -> None:
    """Print what was found of each file as JSON."""
    files = [
        {"file": each.path.as_posix(), "damage": each.damage, "in_ball": each.in_ball}
        for each in found
    ]
    write(json.dumps({"run": run.as_posix(), "files": files}, indent=1) + "\n")


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f}"


def _files(count: int) -> str:
    return f"{count} file" if count == 1 else f"{count} files"
