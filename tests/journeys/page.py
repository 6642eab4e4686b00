"""A page of the docs as a journey: its files are written, its commands run as they stand."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"# (\S+\.(?:py|toml))\n")


@dataclass(frozen=True)
class Section:
    """What stands under one heading: blocks as (language, text)."""

    title: str
    blocks: tuple[tuple[str, str], ...]


def sections(page: str) -> list[Section]:
    """Return the sections of a page of the docs, without what stands above the first."""
    text = (_ROOT / page).read_text()
    _, *parts = re.split(r"^## ", text, flags=re.MULTILINE)
    return [Section(part.splitlines()[0], tuple(_FENCE.findall(part))) for part in parts]


def write_files(section: Section, folder: Path) -> None:
    """Write the blocks that begin with the name of a file."""
    for language, text in section.blocks:
        name = _NAMED.match(text)
        if language in ("python", "toml") and name:
            path = folder / name[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def run_command(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run one line as a shell would, with `python` and `superdef-bench` those of this process."""
    places = (str(Path(sys.executable).parent), os.environ["PATH"])
    settings = {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb", "PYTHONPATH": str(_ROOT)}
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, **settings, "PATH": os.pathsep.join(places)},
        capture_output=True,
        text=True,
        check=False,
    )


def commands(section: Section) -> list[str]:
    """Return the lines of its shell blocks, without comments."""
    lines = (
        line for language, text in section.blocks if language == "sh" for line in text.splitlines()
    )
    return [line.split(" #")[0].rstrip() for line in lines if line.strip()]


def answers(section: Section) -> list[tuple[str, str]]:
    """Return each command that is followed by what it prints, with that."""
    return [
        (text.strip(), told)
        for (language, text), (next_language, told) in pairwise(section.blocks)
        if language == "sh" and not next_language
    ]
