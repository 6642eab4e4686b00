"""CIFAR in its real layout, downloaded from a real server; data sets without a network."""

import hashlib
import io
import pickle
import socket
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision import datasets

from superdef_bench import DataError, load_dataset
from superdef_bench.core.loader import load_plugins
from superdef_bench.testing import check_dataset
from tests.support.commands import CONFIG, Answer
from tests.support.downloads import CLOSED, md5, offline, serve
from tests.support.plugin_files import plugin_module


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return offline(monkeypatch, tmp_path / "data folder")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """Serve a folder over HTTP; give its address, the folder and what was asked for."""
    (tmp_path / "served").mkdir()
    with serve(tmp_path / "served") as (url, asked):
        yield url, tmp_path / "served", asked


def cifar(
    monkeypatch: pytest.MonkeyPatch, kind: Any, label_key: str, classes: int, url: str
) -> tuple[bytes, np.ndarray, list[int]]:
    """Return a small archive of the real layout, and its test images; hashes are set to it."""
    random, members = np.random.default_rng(0), {}
    for file, _ in [*kind.train_list, *kind.test_list]:
        labels = random.permutation(np.arange(4 * classes) % classes).tolist()
        pixels = random.integers(0, 256, (len(labels), 3072), dtype=np.uint8)
        members[file] = pickle.dumps({"data": pixels, label_key: labels})
    names = [f"thing {number}" for number in range(classes)]
    members[kind.meta["filename"]] = pickle.dumps({kind.meta["key"]: names})
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for file, content in members.items():
            entry = tarfile.TarInfo(f"{kind.base_folder}/{file}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    monkeypatch.setattr(kind, "url", url + kind.filename)
    monkeypatch.setattr(kind, "tgz_md5", md5(buffer.getvalue()))
    for part in ("train_list", "test_list"):
        known = [[file, md5(members[file])] for file, _ in getattr(kind, part)]
        monkeypatch.setattr(kind, part, known)
    meta = {**kind.meta, "md5": md5(members[kind.meta["filename"]])}
    monkeypatch.setattr(kind, "meta", meta)
    return buffer.getvalue(), pixels.reshape(-1, 3, 32, 32), labels


@pytest.mark.parametrize(
    ("name", "kind", "key", "classes"),
    [
        ("cifar10", datasets.CIFAR10, "labels", 10),
        ("cifar100", datasets.CIFAR100, "fine_labels", 100),
    ],
)
def test_cifar_is_downloaded_once_and_keeps_its_contract(
    monkeypatch: pytest.MonkeyPatch,
    data: Path,
    server: tuple[str, Path, list[str]],
    name: str,
    kind: Any,
    key: str,
    classes: int,
) -> None:
    url, served, asked = server
    archive, pixels, labels = cifar(monkeypatch, kind, key, classes, url)
    (served / kind.filename).write_bytes(archive)
    found = load_dataset(name)
    assert len(asked) > 0
    asked.clear()
    again = load_dataset(name, download=False)
    assert load_dataset(name).sha256 == found.sha256 == again.sha256
    assert (data / kind.base_folder).is_dir()
    assert not asked
    assert [check for check in check_dataset(found) if check[1]] == []
    assert (found.name, found.split, found.num_classes) == (name, "test", classes)
    assert found.class_names[7] == "thing 7"
    rows = [int(place.removeprefix("test/")) for place in found.ids]
    assert sorted(rows) == list(range(4 * classes))
    x, y = found.load(range(4 * classes))
    assert y.tolist() == [labels[row] for row in rows] == list(range(classes)) * 4
    assert torch.equal((x * 255).round().byte(), torch.from_numpy(pixels[rows]))
    train = load_dataset(name, split="train")
    assert len(train.ids) == 4 * classes * len(kind.train_list)
    assert train.sha256 != found.sha256


def test_within_a_class_the_order_is_that_of_the_hash(
    monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    data.mkdir()
    archive, _, _ = cifar(monkeypatch, datasets.CIFAR10, "labels", 10, CLOSED)
    (data / "cifar-10-python.tar.gz").write_bytes(archive)
    found = load_dataset("cifar10", download=False)  # put there by hand: unpacked, not fetched
    first = [hashlib.sha256(place.encode()).digest() for place in found.ids[::10]]
    assert first == sorted(first)


Break = Callable[[Path, Path, bytes], None]


def page(served: Path, data: Path, archive: bytes) -> None:
    (served / "cifar-10-python.tar.gz").write_text("\n<!DOCTYPE html><html>log in</html>")


def cut(served: Path, data: Path, archive: bytes) -> None:
    (served / "cifar-10-python.tar.gz").write_bytes(archive[:-9])


def nothing(served: Path, data: Path, archive: bytes) -> None:
    pass


def by_hand(served: Path, data: Path, archive: bytes) -> None:
    data.mkdir()
    (data / "cifar-10-python.tar.gz").write_bytes(archive[:-9])


def unwritable(served: Path, data: Path, archive: bytes) -> None:
    data.write_text("a file where the folder should be")


def blocked(served: Path, data: Path, archive: bytes) -> None:
    (data / "cifar-10-batches-py" / "test_batch" / "full").mkdir(parents=True)
    (data / "cifar-10-python.tar.gz").write_bytes(archive)


@pytest.mark.parametrize(
    ("harm", "reason", "hint"),
    [
        (page, "tar.gz is a web page (HTML), not the archive", "delete it and try again"),
        (cut, "tar.gz is damaged: its MD5 is", "delete it and try again"),
        (nothing, "HTTP Error 404", "/cifar-10-python.tar.gz (170,498,071 bytes) by hand into"),
        (by_hand, "HTTP Error 404: File not found; ", "--data-dir"),
        (unwritable, "cannot be stored in", "--data-dir"),
        (blocked, "cannot be stored in", "--data-dir"),
    ],
)
def test_a_download_that_fails_is_one_line_and_exit_2(
    monkeypatch: pytest.MonkeyPatch,
    run_cli: Callable[..., Answer],
    config: Callable[..., Path],
    data: Path,
    server: tuple[str, Path, list[str]],
    harm: Break,
    reason: str,
    hint: str,
) -> None:
    url, served, _ = server
    archive, _, _ = cifar(monkeypatch, datasets.CIFAR10, "labels", 10, url)
    harm(served, data, archive)
    answer = run_cli("run", config(CONFIG.replace('"signs"', '"cifar10"')))
    assert (answer.code, answer.out) == (2, "")
    lines = [line for line in answer.err.splitlines() if not line.startswith("note: ")]
    assert [line.split()[0] for line in lines] == ["error:", "hint:"], answer.err
    assert reason in lines[0]
    assert hint in lines[1]
    assert socket.getdefaulttimeout() is None
    if harm is page:  # the next try heals it
        (served / "cifar-10-python.tar.gz").write_bytes(archive)
        assert len(load_dataset("cifar10").ids) == 40


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist", "gtsrb"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_without_a_network_or_with_download_off_the_files_to_bring_are_named(
    monkeypatch: pytest.MonkeyPatch, data: Path, name: str, split: str
) -> None:
    for kind in (datasets.CIFAR10, datasets.CIFAR100):
        monkeypatch.setattr(kind, "url", CLOSED + "x.tar.gz")
    monkeypatch.setattr(datasets.MNIST, "mirrors", [CLOSED, CLOSED + "second/"])
    for download, message in ((True, "cannot be downloaded to"), (False, "is not in")):
        with pytest.raises(DataError, match=f"^{name} {message} {data}") as error:
            load_dataset(name, split=split, download=download)
        assert "\n" not in error.value.message
        assert ("Connection refused" in error.value.message) == download
        assert any(ending in error.value.hint for ending in (".tar.gz", ".gz", ".zip"))
        assert "--data-dir" in error.value.hint
    assert not list(data.rglob("*.gz"))


def test_damaged_unpacked_files_are_unpacked_again_or_named(
    monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    data.mkdir()
    archive, _, _ = cifar(monkeypatch, datasets.CIFAR10, "labels", 10, CLOSED)
    kept = data / "cifar-10-python.tar.gz"
    kept.write_bytes(archive)
    load_dataset("cifar10")
    batch = data / "cifar-10-batches-py" / "test_batch"
    batch.write_bytes(batch.read_bytes()[:-1])
    load_dataset("cifar10")
    kept.unlink()
    batch.write_bytes(batch.read_bytes()[:-1])
    with pytest.raises(DataError, match="test_batch is damaged: a wrong MD5"):
        load_dataset("cifar10", download=False)
    with pytest.raises(DataError, match=r"Connection refused.*; .*test_batch is damaged"):
        load_dataset("cifar10")
    kept.write_bytes(archive)
    load_dataset("cifar10")
    (batch.parent / "batches.meta").write_bytes(b"")
    with pytest.raises(DataError, match=r"batches\.meta is damaged") as error:
        load_dataset("cifar10")
    assert error.value.hint == f"delete {batch.parent}, and run again"


def test_a_server_that_says_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        cifar(monkeypatch, datasets.CIFAR10, "labels", 10, url)
        load_plugins()
        fetch = plugin_module("datasets.torchvision_sets.fetch")
        monkeypatch.setattr(fetch, "_SILENCE", 0.1)
        with pytest.raises(DataError, match=r"cannot be downloaded to .*: timed out"):
            load_dataset("cifar10")
