"""Checkpoints of your own: what fits is loaded as it is, what does not is one line and exit 2."""

import hashlib
import os
import pickle
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from superdef_bench import ConfigError, load_dataset, load_model
from superdef_bench.nn import ResNet
from superdef_bench.nn.pretrained import Normalized, guarded, read_checkpoint
from superdef_bench.nn.weights import SHIPPED
from tests.support.commands import Answer
from tests.support.pickles import Evil

_SIGNS = SHIPPED / "signs_resnet8.safetensors"


@pytest.fixture
def refuse(
    run_cli: Callable[..., Answer], config: Callable[..., Path]
) -> Callable[..., tuple[str, str]]:
    """Return a function that runs a config with a checkpoint and gives error and hint."""

    def run(path: Path, **arguments: object) -> tuple[str, str]:
        given = {"architecture": "resnet8", "num_classes": 8, **arguments}
        shown = ", ".join(f"{k} = {v!r}" for k, v in given.items())
        model = f'{{ plugin = "checkpoint", path = "{path}", {shown} }}'
        text = f'[run]\ndataset = "signs"\nmodel = {model}\nlimit = 2\n[attacks]\nfgsm = {{}}\n'
        answer = run_cli("run", config(text))
        assert answer.code == 2, answer
        assert answer.out == ""
        lines = answer.err.strip().split("\n")
        assert len(lines) <= 2, answer.err
        return lines[0].removeprefix("error: "), (lines[1:] or [""])[0].removeprefix("hint: ")

    return run


def small(classes: int = 8) -> ResNet:
    torch.manual_seed(0)
    return ResNet(blocks=1, num_classes=classes)


def test_the_shipped_weights_load_as_a_checkpoint_too() -> None:
    data = load_dataset("signs")
    x, _ = data.load(range(4))
    own = load_model(
        "checkpoint", path=str(_SIGNS), architecture="resnet8", num_classes=data.num_classes
    )
    assert torch.equal(own(x), load_model("signs_resnet8").eval()(x))


def test_grey_images_another_depth_and_width(tmp_path: Path) -> None:
    network = ResNet(blocks=2, num_classes=3, width=4, channels=1).eval()
    torch.save(network.state_dict(), tmp_path / "grey.pt")
    loaded = load_model(
        "checkpoint",
        path=str(tmp_path / "grey.pt"),
        architecture="resnet14",
        num_classes=3,
        width=4,
        channels=1,
    )
    x = torch.rand(2, 1, 28, 28)
    assert torch.allclose(loaded(x), network(x), atol=1e-5)


def test_wrappers_and_prefixes_come_off(tmp_path: Path) -> None:
    network = small().eval()
    x = torch.rand(2, 3, 32, 32)
    wrappers = ("", "state_dict", "model_state_dict", "model", "net")
    prefixes = ("", "module.", "model.", "module.model.")
    for wrapper, prefix in [*zip_longest(wrappers, prefixes, fillvalue="module.")]:
        state: dict[str, Any] = {prefix + k: v for k, v in network.state_dict().items()}
        path = tmp_path / "mine.pt"
        torch.save({wrapper: state, "epoch": 3} if wrapper else state, path)
        loaded = load_model("checkpoint", path=str(path), architecture="resnet8", num_classes=8)
        assert torch.allclose(loaded(x), network(x), atol=1e-5), (wrapper, prefix)


def test_mean_and_std_stand_inside_the_model(tmp_path: Path) -> None:
    from torchvision import models

    network = models.squeezenet1_1(num_classes=7).eval()
    safetensors.torch.save_file(network.state_dict(), tmp_path / "mine.safetensors")
    sha256 = hashlib.sha256((tmp_path / "mine.safetensors").read_bytes()).hexdigest().upper()
    x = torch.rand(2, 3, 40, 40)
    centre, spread = (torch.tensor(v).view(3, 1, 1) for v in ([0.4, 0.5, 0.6], [0.2, 0.3, 0.4]))
    expected = network((x - centre) / spread)
    loaded = load_model(
        "checkpoint",
        path=str(tmp_path / "mine.safetensors"),
        architecture="torchvision:squeezenet1_1",
        num_classes=7,
        mean=[0.4, 0.5, 0.6],
        std=[0.2, 0.3, 0.4],
        sha256=sha256,
    )
    assert isinstance(loaded, Normalized)
    assert torch.allclose(loaded(x), expected, atol=1e-6)


def test_an_architecture_of_timm_takes_an_old_checkpoint_without_counters(tmp_path: Path) -> None:
    import timm  # type: ignore[import-untyped]  # ships no types

    network = timm.create_model("test_efficientnet", num_classes=5).eval()
    state = {k: v for k, v in network.state_dict().items() if "num_batches" not in k}
    assert len(state) < len(network.state_dict())
    torch.save(state, tmp_path / "mine.pth")
    loaded = load_model(
        "checkpoint",
        path=str(tmp_path / "mine.pth"),
        architecture="timm:test_efficientnet",
        num_classes=5,
        mean="0.4, 0.5 0.6",
        std="0.25",
    )
    x = torch.rand(2, 3, 32, 32)
    centre = torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)
    assert torch.allclose(loaded(x), network((x - centre) / 0.25), atol=1e-6)


def test_a_checkpoint_of_another_architecture_names_the_first_keys(
    refuse: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    torch.save(small().state_dict(), tmp_path / "a.pt")
    error, hint = refuse(tmp_path / "a.pt", architecture="resnet20")
    assert "is not of resnet20 with 8 classes: keys" in error
    known = {*small().state_dict()}
    lacking = [
        name
        for name in ResNet(blocks=3, num_classes=8).state_dict()
        if name not in known and not name.endswith("num_batches_tracked")
    ]
    assert f"keys {len(lacking)} missing, first {lacking[0]!r}; " in error
    assert "unexpected, first 'stages.1.shortcut.0.weight'" in error
    assert "architecture" in hint
    error, _ = refuse(tmp_path / "a.pt", num_classes=10)
    assert error.endswith("2 of another shape, first 'head.weight' (8, 64) for (10, 64)")
    torch.save({"weights.0": torch.zeros(3)}, tmp_path / "b.pt")
    error, _ = refuse(tmp_path / "b.pt")
    assert "1 unexpected, first 'weights.0'" in error


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_a_truncated_checkpoint_is_one_line_and_exit_2(
    kind: str, refuse: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    path = tmp_path / ("t.safetensors" if kind == "safetensors" else "t.pt")
    if kind == "safetensors":
        safetensors.torch.save_file(small().state_dict(), path)
    else:
        torch.save(small().state_dict(), path, _use_new_zipfile_serialization=kind == "zip")
    content = path.read_bytes()
    for kept in (0.0, 0.3, 0.99):
        path.write_bytes(content[: int(kept * len(content))])
        error, hint = refuse(path)
        assert f"checkpoint {path} is {'damaged' if kept else 'empty'}" in error
        assert hint == "delete the file and get it again"


@pytest.mark.parametrize("kind", ["zip", "legacy", "plain pickle"])
def test_a_pickle_with_code_is_refused_and_not_run(
    kind: str,
    refuse: Callable[..., tuple[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    marker, path = tmp_path / "the_code_ran", tmp_path / "evil.pt"
    content = {"state_dict": small().state_dict(), "more": Evil(marker)}
    if kind == "plain pickle":
        path.write_bytes(pickle.dumps(Evil(marker)))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    torch.load(path, weights_only=False) if kind != "plain pickle" else pickle.loads(
        path.read_bytes()
    )
    assert marker.exists(), "the file is as malicious as it should be"
    marker.unlink()
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    error, hint = refuse(path)
    assert "holds pickled objects" in error
    assert ("system" in error) == (kind != "plain pickle")
    assert "refused" in error
    assert "state_dict()" in hint
    assert os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] == "1"
    with guarded(), pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=False)
    assert not marker.exists()


def test_a_web_page_a_hash_a_missing_file_and_what_is_no_state_dict(
    refuse: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    path = tmp_path / "page.pt"
    path.write_text("\n<!DOCTYPE html><html>Quota exceeded</html>")
    error, hint = refuse(path)
    assert error == f"checkpoint {path} is a web page"
    assert "quota" in hint
    assert "delete the file" in hint
    assert path.exists()
    error, _ = refuse(_SIGNS, sha256="0" * 64)
    assert f"has sha256 {hashlib.sha256(_SIGNS.read_bytes()).hexdigest()[:12]}, not 0000" in error
    assert "does not exist" in refuse(tmp_path / "nothing.pt")[0]
    assert "is a folder" in refuse(tmp_path)[0]
    torch.save({"epoch": 3, "best": 0.5}, tmp_path / "numbers.pt")
    assert "holds no state dict: 'epoch' is int" in refuse(tmp_path / "numbers.pt")[0]
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    assert "holds no state dict: list" in refuse(tmp_path / "list.pt")[0]
    torch.jit.save(torch.jit.script(nn.Linear(1, 1)), tmp_path / "program.pt")
    error, hint = refuse(tmp_path / "program.pt")
    assert "is TorchScript, a program" in error
    assert 'plugin = "torchscript"' in hint


def test_a_model_of_other_classes_than_the_dataset(
    refuse: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    torch.save(small(5).state_dict(), tmp_path / "five.pt")
    error, hint = refuse(tmp_path / "five.pt", num_classes=5)
    assert "has 5 classes, dataset 'signs' has" in error
    assert "trained for this dataset" in hint


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"architecture": "resnet21"}, "unknown architecture 'resnet21'"),
        ({"architecture": "torchvison:resnet18"}, "unknown architecture library"),
        ({"architecture": "torchvision:resnet19"}, "unknown torchvision classifier 'resnet19'"),
        ({"architecture": "timm:resnet19"}, "unknown timm model 'resnet19'"),
        ({"mean": "0.5"}, "std '', take both or none"),
        ({"mean": "0.5", "std": "0"}, "std above 0"),
        ({"mean": "grey", "std": "1"}, "mean is 'grey', take one number, or one per channel"),
        ({"sha256": "12ab"}, "take 64 hexadecimal digits"),
        ({"width": 0}, "width is 0, take 1 or more"),
        ({"channels": 2}, "channels is 2, take 1 or 3"),
    ],
)
def test_arguments_that_make_no_sense(arguments: dict[str, Any], words: str) -> None:
    given = {"path": str(_SIGNS), "architecture": "resnet8", "num_classes": 8, **arguments}
    with pytest.raises(ConfigError) as refused:
        load_model("checkpoint", **given)
    assert words in refused.value.message


def test_binary_files_that_start_like_text_are_no_web_pages(tmp_path: Path) -> None:
    # A safetensors header of 15392 bytes starts with " <", as a page may.
    path = tmp_path / "odd.safetensors"
    padding = {"note": "x" * 15300}
    content = safetensors.torch.save({"w": torch.zeros(1)}, metadata=padding)
    length = int.from_bytes(content[:8], "little")
    padding["note"] += "x" * (15392 - length)
    path.write_bytes(safetensors.torch.save({"w": torch.zeros(1)}, metadata=padding))
    assert path.read_bytes()[:2] == b" <"
    assert read_checkpoint(path)["w"].shape == (1,)
