"""`check --all` where data is absent: it never downloads, and absent data breaks nothing."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from superdef_bench import DataError
from superdef_bench.cli.check_table import print_checks
from superdef_bench.core.loader import load_plugins
from superdef_bench.core.plugins import Registry
from superdef_bench.testing import assert_contract, check_plugin
from tests.support.commands import Answer

_PUBLIC = ("cifar10", "cifar100", "gtsrb", "mnist")


@pytest.fixture
def no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty data folder; a name that is looked up fails the test."""

    def refuse(*where: object, **_: object) -> None:
        pytest.fail(f"it asked the network for {where}")

    monkeypatch.setenv("SUPERDEF_BENCH_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tmp_path


def test_check_all_skips_data_that_is_not_there_and_never_asks_for_it(
    no_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    everything = load_plugins()
    registry = Registry()
    for name in ("imagefolder", "imagenet", *_PUBLIC):
        registry.add(everything.get("dataset", name))
    assert print_checks(registry, [], every=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    for name in _PUBLIC:
        (line,) = (line for line in lines if f"dataset:{name} " in line)
        assert line.startswith("skipped ")
        assert f"{name} is not in {no_data}" in line
    assert not list(no_data.iterdir())


def test_a_plugin_that_is_named_is_an_error_without_its_data(
    run_cli: Callable[..., Answer], plugin_folder: Callable[[str], Path]
) -> None:
    folder = plugin_folder(
        """
from superdef_bench import DataError, hookimpl
def far(*, download: bool = True):
    raise DataError(f"far is not here, download is {download}", hint="fetch it")
@hookimpl
def register_datasets():
    return {"far": far}
"""
    )
    answer = run_cli("check", "far", "--plugins-dir", folder)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "error: far is not here, download is True\nhint: fetch it\n"
    plugin = load_plugins([folder]).get("dataset", "far")
    with pytest.raises(DataError, match="download is False"):
        assert_contract(plugin, download=False)
    with pytest.raises(DataError, match="download is True"):
        list(check_plugin(plugin))
