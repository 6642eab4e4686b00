"""A plugin that imports what the docs named before there were rooms still runs, unchanged."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from superdef_bench.core.fingerprint import sources
from superdef_bench.core.loader import load_plugins
from superdef_bench.core.renamed import RENAMED
from tests.support.commands import Answer

OLD = """
from pathlib import Path

from torch import nn

from superdef_bench import hookimpl
from superdef_bench.datasets import balanced_order, hash_files, to_images
from superdef_bench.pretrained import Normalized, fill, read_tensors
from superdef_bench.autoattack import install_alias
from superdef_bench.weights import load_weights, save_weights

assert balanced_order([["a"], ["b"]])


def tiny(*, classes: int = 8) -> nn.Module:
    network = nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(192, classes))
    return Normalized(network, [0.5] * 3, [0.5] * 3)


@hookimpl
def register_models() -> dict[str, object]:
    return {"tiny": tiny}
"""


def test_a_plugin_of_before_the_rooms_runs(
    run_cli: Callable[..., Answer], plugin_folder: Callable[..., Path]
) -> None:
    answer = run_cli("check", "tiny", "--plugins-dir", plugin_folder(OLD, "old"))
    assert (answer.code, answer.err) == (0, "")
    assert "ok       model:tiny" in answer.out


def test_its_keys_follow_what_it_runs_through(plugin_folder: Callable[..., Path]) -> None:
    folder = plugin_folder(OLD, "old")
    plugin = load_plugins([folder]).get("model", "tiny")
    assert {
        "autoattack_alias.py",
        "superdef_bench/io/datasets.py",
        "superdef_bench/nn/pretrained.py",
        "superdef_bench/nn/weights.py",
    } <= set(sources(plugin.file))


@pytest.mark.parametrize("name", RENAMED)
def test_an_old_name_is_the_module_itself(name: str) -> None:
    code = f"import importlib; print(importlib.import_module({name!r}).__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == RENAMED[name]


def test_the_alias_of_autoattack_is_found_too() -> None:
    code = "from superdef_bench.autoattack import install_alias; print(install_alias().__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "autoattack"


def test_a_name_that_never_was_is_not_found() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"superdef_bench\.rows"):
        __import__("superdef_bench.rows")


def test_all_names_of_a_room_follow_the_whole_room(tmp_path: Path) -> None:
    file = tmp_path / "star.py"
    file.write_text("from superdef_bench.nn import *\n")
    assert {"superdef_bench/nn/__init__.py", "superdef_bench/nn/weights.py"} <= set(sources(file))
