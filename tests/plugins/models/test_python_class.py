"""A class of the user as a model: where it is found, what it takes, and what is said otherwise."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from superdef_bench import load_model
from superdef_bench.analysis.consent import named_things
from superdef_bench.analysis.run_folder import config_of
from superdef_bench.benchmark.build import build
from superdef_bench.benchmark.config import parse
from superdef_bench.core.errors import SuperdefError
from superdef_bench.core.fingerprint import sources
from superdef_bench.core.loader import load_plugins, plugins
from superdef_bench.results.load import load_results
from tests.support.commands import Answer

NET = """
from torch import nn
from blocks import WIDTH

class Net(nn.Module):
    def __init__(self, num_classes: int, width: int = WIDTH, act=lambda: nn.ReLU()):
        super().__init__()
        self.body = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, width))
        self.act, self.head = act(), nn.Linear(width, num_classes)

    def forward(self, x):
        return self.head(self.act(self.body(x)))

class Own(Net):
    def __init__(self, *, weights: str = "mine"):
        super().__init__(20)
        self.weights = weights

class Shut(nn.Module):
    differentiable = False
    def forward(self, x):
        return x.mean((2, 3))

def small(**more):
    return Net(20, 2, **more)

def nothing():
    return {}

def broken():
    raise RuntimeError("no such luck")

value = 3
"""
RUN = """
[run]
dataset = "signs"
model = { plugin = "python:nets/net.py:Net", num_classes = 20, weights = "w.pt" }
limit = 4
batch_size = 4
masking = 0

[attacks]
fgsm = { rungs = ["gray_box", "transfer"] }

[transfer]
surrogates = ["model:python:nets/net.py:small"]
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a project with a network and a file beside it, and go there."""
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets/net.py").write_text(NET)
    (tmp_path / "nets/blocks.py").write_text("WIDTH = 5\n")
    (tmp_path / "mynet.py").write_text("from nets.net import Net\nfrom nets import blocks\n")
    (tmp_path / "nets/crash.py").write_text("x = 1\nraise RuntimeError('out of order')\n")
    (tmp_path / "nets/syntax.py").write_text("x = 1\ndef (:\n")
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack/__init__.py").write_text("")
    (tmp_path / "pack/net.py").write_text("from .part import Small as Net\n")
    (tmp_path / "pack/part.py").write_text(
        "from torch import nn\nclass Small(nn.Linear):\n    pass\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def network(place: str, **arguments: Any) -> Any:
    return load_model(f"python:{place}", **arguments)


def saved(name: str = "w.pt") -> tuple[nn.Module, str]:
    """Write weights of the network; return it and their hash."""
    made = load_model("python:nets/net.py:Net", num_classes=20)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(2)
    torch.save({"state_dict": made.state_dict()}, name)
    return made, hashlib.sha256(Path(name).read_bytes()).hexdigest()


def test_a_class_is_built_with_its_arguments_and_the_same_each_time() -> None:
    first = load_model("python:nets/net.py:Net", num_classes=7, width=3)
    torch.manual_seed(5)
    again = load_model("python:nets/net.py:Net", num_classes=7, width=3)
    x = torch.rand(2, 3, 8, 8)
    assert first(x).shape == (2, 7)
    assert torch.equal(first(x), again(x))
    assert type(first).__name__ == "Net"
    assert network("nets/net.py:small").head.out_features == 20


@pytest.mark.parametrize("place", ["nets.net", "nets/net.py", "./nets/../nets/net.py"])
def test_a_module_and_a_file_are_found_in_the_current_folder(place: str) -> None:
    assert network(f"{place}:Net", num_classes=3).act is not None


def test_a_package_an_installed_library_and_a_folder_on_the_path_are_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for place in ("pack.net", "pack/net.py"):
        assert network(f"{place}:Net", in_features=2, out_features=3).out_features == 3
    assert set(sources(plugins().get("model", "python:pack.net:Net").file)) >= {
        "pack/net.py",
        "pack/part.py",
    }
    assert network("torchvision.models:alexnet", num_classes=4).classifier[6].out_features == 4
    (tmp_path / "nets/net.py").rename(tmp_path / "nets/elsewhere.py")
    monkeypatch.syspath_prepend(tmp_path / "nets")
    assert load_model("python:elsewhere:Net", num_classes=3) is not None


def test_weights_and_normalisation_go_around_it() -> None:
    made, sha256 = saved()
    told = {"num_classes": 20, "weights": "w.pt", "sha256": sha256}
    x = torch.rand(2, 3, 8, 8)
    assert torch.equal(load_model("python:nets/net.py:Net", **told)(x), made(x))
    normal = load_model("python:nets/net.py:Net", **told, mean=[0.5], std="0.25")
    assert torch.allclose(normal(x), made((x - 0.5) / 0.25))
    as_architecture = load_model(
        "checkpoint", path="w.pt", architecture="python:nets/net.py:Net", num_classes=20
    )
    assert torch.equal(as_architecture(x), made(x))


def test_what_the_class_takes_itself_goes_to_it() -> None:
    assert network("nets/net.py:Own", weights="theirs").weights == "theirs"
    with pytest.raises(SuperdefError, match="takes no argument 'sha256'"):
        load_model("python:nets/net.py:Own", sha256="0" * 64)


def test_an_endpoint_stays_one_behind_its_normalisation() -> None:
    assert network("nets/net.py:Shut", mean=0.5, std=0.5).differentiable is False


@pytest.mark.parametrize(
    ("model", "arguments", "message", "hint"),
    [
        ("net", {}, "'python:net' names no class", "python:MODULE:NAME"),
        ("absent:Net", {}, "there is no module 'absent'", "in the current folder"),
        ("torch.absent:Net", {}, "there is no module 'torch.absent'", ""),
        ("random:Random", {}, "module 'random' is of Python itself", ""),
        ("nets/absent.py:Net", {}, "file nets/absent.py does not exist", "the current folder"),
        ("nets/:Net", {}, "file nets/ is a folder", ""),
        ("nets/net.py:Nett", {}, "nets/net.py has no 'Nett'", "did you mean 'Net'?"),
        ("nets/net.py:value", {}, "value of nets/net.py is a int, no class", "function"),
        ("nets/net.py:nothing", {}, "builds a dict, no torch.nn.Module", ""),
        ("nets/net.py:broken", {}, "RuntimeError: no such luck", "it comes from"),
        ("nets/crash.py:Net", {}, "RuntimeError: out of order", "mend line 2 of crash.py"),
        ("nets/syntax.py:Net", {}, "SyntaxError", "mend line 2 of syntax.py"),
        ("nets/net.py:Net", {}, "needs the argument 'num_classes'", ""),
        ("nets/net.py:Net", {"num_classes": "a"}, "'num_classes' of model 'python:", "number"),
        ("nets/net.py:Net", {"num_clases": 2}, "takes no argument 'num_clases'", "'num_classes'"),
        ("nets/net.py:Net", {"num_classes": 3, "sha256": "a"}, "sha256 is 'a'", ""),
        ("nets/net.py:Net", {"num_classes": 3, "sha256": "0" * 64}, "no weights", "name their"),
        ("nets/net.py:Net", {"num_classes": 3, "mean": 0.5}, "mean is 0.5 and std ''", ""),
        ("nets/net.py:Net", {"num_classes": 3, "weights": "w.pt"}, "of another shape", ""),
        ("nets/net.py:Net", {"num_classes": 3, "weights": "no.pt"}, "no.pt does not exist", ""),
        ("nets/net.py:Net", {"num_classes": 3, "weights": "evil.pt"}, "pickled objects", ""),
    ],
)
def test_what_cannot_be_used_is_one_line(
    model: str, arguments: dict[str, Any], message: str, hint: str
) -> None:
    if arguments.get("weights") == "w.pt":
        saved()
    torch.save({"net": nn.Linear(1, 1)}, "evil.pt")
    with pytest.raises(SuperdefError) as error:
        load_model(f"python:{model}", **arguments)
    assert message in error.value.message
    assert hint in error.value.hint
    assert len(str(error.value).splitlines()) <= 2


def fingerprint_of(model: Any) -> str:
    """Return the key of a classifier, as a new start would have it."""
    sources.cache_clear()
    document = {"run": {"dataset": "signs", "model": model, "limit": 2, "masking": 0}}
    document["attacks"] = {"fgsm": {"rungs": ["gray_box"]}}
    return build(parse(document, "t"), load_plugins(), torch.device("cpu")).task.model_fingerprint


@pytest.mark.parametrize("plugin", ["python:nets/net.py:Net", "checkpoint"])
def test_a_change_in_a_helper_changes_the_key(project: Path, plugin: str) -> None:
    saved()
    model = {"plugin": plugin, "num_classes": 20}
    architecture = {"architecture": "python:nets/net.py:Net", "path": "w.pt"}
    model |= {"weights": "w.pt"} if plugin != "checkpoint" else architecture
    before = fingerprint_of(model)
    assert fingerprint_of(model) == before
    (project / "nets/blocks.py").write_text("WIDTH = 5  # as before\n")
    assert fingerprint_of(model) != before


def test_a_run_names_the_row_by_the_class_and_its_results_ask_for_consent(
    run_cli: Callable[..., Answer], config: Callable[..., Path]
) -> None:
    saved()
    answer = run_cli("run", config(RUN), "-o", "out")
    assert answer.code == 0, answer.err
    assert "classifier Net" in Path("out/tiny.md").read_text()
    names = [str(path.relative_to("out")) for path in Path("out").rglob("*")]
    assert not [name for name in names if ":" in name or "net.py" in name]
    results = load_results(Path("out/results.json"))
    assert "small" in {row.source for row in results.rows()}
    found = named_things(config_of(results))
    assert "the classifier is 'python:nets/net.py:Net': code" in found
    assert "source 'small' is 'python:nets/net.py:small': code" in found
    Path("nets/net.py").write_text("raise SystemExit('it ran')")
    refused = run_cli("reproduce", "out/results.json", "--sample", 1)
    assert refused.code == 2
    assert re.search(r"names \d things to look at first: the classifier is 'python:", refused.err)
