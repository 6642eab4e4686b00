"""What several tests share: the real command line, configs and plugin files on disk."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest
import torch

from superdef_bench import cli
from superdef_bench.core import loader
from tests.support.commands import CONFIG, Answer
from tests.support.counts import FAULTS_VARIABLE, write_table
from tests.support.photographs import write_photographs


def pytest_configure(config: pytest.Config) -> None:
    """Run each benchmark once, as a test, unless benchmarks are what was asked for."""
    if not config.option.benchmark_only:
        config.option.benchmark_disable = True
    if config.option.markexpr == "faults" and not os.environ.get(FAULTS_VARIABLE):
        # Inherited by the workers, who add their lines to it.
        place, name = tempfile.mkstemp(prefix="faults-")
        os.close(place)
        os.environ[FAULTS_VARIABLE] = name


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave what is nightly out of `-m faults` and `-m ci`, too."""
    if config.option.markexpr in ("faults", "ci"):
        items[:] = [item for item in items if item.get_closest_marker("slow") is None]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the counts of `pytest -m faults` into docs/reliability.md, if all of it held."""
    config = session.config
    whole = config.option.markexpr == "faults" and config.args == config.getini("testpaths")
    if whole and exitstatus == 0 and not hasattr(config, "workerinput"):
        write_table(Path(os.environ[FAULTS_VARIABLE]), Path("docs/reliability.md"))


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    yield
    loader._loaded = None


@pytest.fixture
def run_cli(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Answer]:
    """Return a function that runs the real command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")

    def run(*words: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["superdef-bench", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        printed = capsys.readouterr()
        return Answer(int(stop.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a config; the default one is small."""

    def write(text: str = CONFIG, name: str = "tiny") -> Path:
        path = tmp_path / f"{name}.toml"
        path.write_text(dedent(text))
        return path

    return write


@pytest.fixture
def plugin_folder(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that writes a plugin file into a folder of its own."""

    def write(source: str, name: str = "mine") -> Path:
        folder = tmp_path / f"plugins_{name}"
        folder.mkdir()
        (folder / f"{name}.py").write_text(dedent(source))
        return folder

    return write


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of seven real photographs; the two of cat and rocket come last."""
    return write_photographs(tmp_path_factory.mktemp("photographs") / "all")


@pytest.fixture(scope="session")
def real_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install torchattacks from the index, without what it pins, into a folder of its own."""
    folder = tmp_path_factory.mktemp("torchattacks")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    done = subprocess.run(
        [*pip, str(folder), "torchattacks"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    shutil.rmtree(folder / "robustbench")  # the wheel holds an old copy, which would hide ours
    return folder


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).parent.parent


@pytest.fixture(scope="session")
def quiet_environment() -> dict[str, str]:
    """Return the environment of a child process: no colour, 80 columns."""
    return {**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}
