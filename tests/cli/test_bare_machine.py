"""A machine with torch, and without the attack, zoo and wavelet libraries."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.ci

_PROGRAM = """
import sys

ABSENT = {"pywt", "ptwt", "foolbox", "robustbench", "pyautoattack", "autoattack", "spandrel"}

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""

_PLUGINS = """
from superdef_bench.plugins import load_plugins

registry = load_plugins()
assert not registry.broken, registry.broken
for kind, name in (("attack", "cw"), ("model", "robustbench"), ("defense", "wavelet"),
                   ("defense", "mustafa"), ("recipe", "edsr"), ("recipe", "rcan")):
    print(registry.get(kind, name).title)
"""

_NETWORKS = """
import torch
from superdef_bench.nn import EDSR, RCAN, SuperDef, jpeg_round_trip

x = torch.rand(1, 3, 16, 16)
for network in (
    EDSR(blocks=1, features=8),
    RCAN(groups=1, blocks=1, features=16),
    SuperDef(layers=1, features=8),
):
    print(*network(jpeg_round_trip(x, 75)).shape)
"""

_TRAIN = """
from superdef_bench import cli

sys.argv = ["superdef-bench", "train", "edsr", "--data", "photographs", "-o", "out",
            "--steps", "2", "--every", "1", "--size", "1x8", "--holdout", "1", "--patch", "8"]
cli.main()
"""


@pytest.fixture
def run_bare(
    tmp_path: Path, repository: Path, quiet_environment: dict[str, str]
) -> Callable[[str], str]:
    """Return a function that runs a program where the libraries cannot be imported."""

    def run(program: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM + program],
            cwd=tmp_path,
            env={**quiet_environment, "PYTHONPATH": str(repository)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_the_libraries_are_really_out_of_reach(run_bare: Callable[[str], str]) -> None:
    with pytest.raises(AssertionError, match="No module named 'ptwt'"):
        run_bare("import ptwt")


def test_all_plugins_load(run_bare: Callable[[str], str]) -> None:
    assert "defense 'mustafa'" in run_bare(_PLUGINS)


def test_the_networks_run(run_bare: Callable[[str], str]) -> None:
    assert run_bare(_NETWORKS).split("\n")[:3] == ["1 3 32 32"] * 3


def test_edsr_trains(run_bare: Callable[[str], str], tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    (tmp_path / "photographs").mkdir()
    for number in range(3):
        pixels = random.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photographs" / f"{number}.png")
    written = run_bare(_TRAIN).split()
    assert [Path(name).suffix for name in written] == [".safetensors", ".json"]
    assert all((tmp_path / name).stat().st_size > 100 for name in written)
