"""The manifest of a run folder: what its last run was, and what a later one goes on with."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from superdef_bench.benchmark.built import Benchmark
from superdef_bench.core.threats import LAYOUTS, Layout
from superdef_bench.io.documents import parse_json
from superdef_bench.io.files import read_file, write_atomically
from superdef_bench.io.seal import seal

MANIFEST = "manifest.json"
_MOST_BYTES = 2**20


def write_manifest(
    benchmark: Benchmark, folder: Path, command: str, plugins_dir: Sequence[str | Path]
) -> None:
    """Write what is run into a folder."""
    task = benchmark.task
    manifest: dict[str, Any] = {
        "command": command,
        "dataset": {"name": task.dataset, "sha256": task.sha256},
        "device": str(benchmark.device),
        "batch_size": benchmark.config.batch_size,
        "layouts": {**(kept_layouts(folder) or {}), **benchmark.layouts},
        "plugins_dir": list(map(str, plugins_dir)),
    }
    text = json.dumps(seal(manifest), indent=1, sort_keys=True) + "\n"
    write_atomically(folder / MANIFEST, text.encode())


def kept_layouts(folder: Path) -> Mapping[str, Layout] | None:
    """Return the layouts that the runs into a folder chose, by the titles of networks.

    They are empty for a run from before there were any. None where nothing was run, or no manifest
    can be read: records in another layout have other keys.
    """
    manifest = _read(folder)
    if manifest is None:
        return None
    found = manifest.get("layouts", {})
    if not isinstance(found, dict):
        return None
    return {title: layout for title, layout in found.items() if layout in LAYOUTS}


def remembered_plugins(folder: Path) -> list[Path]:
    """Return the folders of plugins that a run folder says it was made with; none if unreadable."""
    named = (_read(folder) or {}).get("plugins_dir", [])
    if not isinstance(named, list):
        return []
    return [Path(place) for place in named if isinstance(place, str) and place]


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        manifest = parse_json(read_file(folder / MANIFEST, most=_MOST_BYTES))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) else None
