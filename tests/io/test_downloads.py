"""Downloads come by https or not at all, and say so where nobody knew what would come."""

import hashlib
from pathlib import Path

import pytest

from superdef_bench import load_dataset, load_model
from superdef_bench.core.errors import DataError
from superdef_bench.io.downloads import check_address, is_encrypted, say_unpinned
from tests.support.downloads import offline

pytestmark = pytest.mark.faults


@pytest.mark.parametrize(
    ("url", "encrypted"),
    [
        ("https://example.org/x.pt", True),
        ("http://127.0.0.1:8000/x.pt", True),
        ("http://localhost/x.pt", True),
        ("http://example.org/x.pt", False),
        ("http://127.0.0.1.example.org/x.pt", False),
        ("file:///etc/passwd", False),
        ("ftp://example.org/x.pt", False),
        ("x.pt", False),
    ],
)
def test_only_https_leaves_this_machine(url: str, encrypted: bool) -> None:
    assert is_encrypted(url) is encrypted
    if not encrypted:
        with pytest.raises(DataError, match="which is not https"):
            check_address("a file", url)


def test_what_is_not_pinned_says_its_hash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    say_unpinned("a\x1b", tmp_path / "a")
    digest = hashlib.sha256(b"abc").hexdigest()
    line = rf"note: a\x1b is not pinned: no hash was known beforehand; sha256 {digest}"
    assert capsys.readouterr().err == line + "\n"


def test_a_hub_without_https_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    offline(monkeypatch, tmp_path)
    monkeypatch.setattr(constants, "ENDPOINT", "http://hub.example.org")
    with pytest.raises(DataError, match=r"'http://hub.example.org', which is not https"):
        load_model("timm", name="test_vit")


def test_weights_of_torchvision_from_a_file_address_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import models

    offline(monkeypatch, tmp_path)
    monkeypatch.setattr(
        models.SqueezeNet1_1_Weights.IMAGENET1K_V1.value, "url", "file:///tmp/a-12345678.pth"
    )
    with pytest.raises(DataError, match="which is not https"):
        load_model("torchvision", name="squeezenet1_1")


def test_mnist_leaves_out_the_mirror_without_https(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import datasets

    offline(monkeypatch, tmp_path)
    monkeypatch.setattr(
        datasets.MNIST, "mirrors", ["http://a.example.org/", "https://127.0.0.1:1/"]
    )
    with pytest.raises(DataError) as error:
        load_dataset("mnist")
    assert "example.org" not in error.value.message
    assert "127.0.0.1" in error.value.message
