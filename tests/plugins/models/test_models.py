"""The classifiers of torchvision and timm, and TorchScript files."""

import hashlib
import io
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from superdef_bench import ConfigError, DataError, load_dataset, load_model
from superdef_bench.core.fingerprint import tensors
from superdef_bench.core.loader import load_plugins
from tests.support.commands import Answer, records


class Server:
    """Web pages by path, on this machine."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.pages: dict[str, bytes] = {}
        self.asked: list[str] = []


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Run a real web server, as the only one within reach."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            content = site.pages.get(self.path.split("/")[-1])
            self.send_response(404 if content is None else 200)
            self.send_header("ETag", '"' + "a" * 40 + '"')
            self.send_header("X-Repo-Commit", "b" * 40)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            site.asked.append(self.path)
            self.wfile.write(site.pages.get(self.path.split("/")[-1], b""))

        def log_message(self, *_: object) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site = Server(f"http://127.0.0.1:{running.server_port}")
    threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}).start()
    yield site
    running.shutdown()
    running.server_close()


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SUPERDEF_BENCH_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


class Script(nn.Module):
    """A small classifier; `sign` is code, not weights."""

    def __init__(self, sign: float = 1.0) -> None:
        super().__init__()
        self.sign = sign
        self.norm = nn.BatchNorm2d(3)
        self.head = nn.Linear(3 * 16, 20)

    def forward(self, x: Tensor) -> Tensor:
        pooled = nn.functional.adaptive_avg_pool2d(self.norm(x), 4)
        logits: Tensor = self.sign * self.head(pooled.flatten(1))
        return logits


def save_script(path: Path, **arguments: float) -> nn.Module:
    torch.manual_seed(0)
    network = Script(**arguments).eval()
    torch.jit.save(torch.jit.script(network), path)
    return network


def test_torchvision_weights_are_downloaded_once_checked_and_normalised(
    server: Server, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import models

    torch.manual_seed(3)
    network = models.squeezenet1_1().eval()
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    name = f"squeezenet-{hashlib.sha256(buffer.getvalue()).hexdigest()[:8]}.pth"
    entry = models.SqueezeNet1_1_Weights.IMAGENET1K_V1
    monkeypatch.setattr(entry.value, "url", f"{server.url}/{name}")
    file = data / "models" / "torchvision" / "checkpoints" / name

    with pytest.raises(DataError, match="cannot be downloaded: HTTP Error 404"):
        load_model("torchvision", name="squeezenet1_1")
    server.pages[name] = buffer.getvalue()[:-9] + b"corrupted"
    with pytest.raises(DataError, match="are not what torchvision names: invalid hash value"):
        load_model("torchvision", name="squeezenet1_1")
    assert not list(file.parent.iterdir())

    server.pages[name] = buffer.getvalue()
    before = torch.hub.get_dir()
    loaded = load_model("torchvision", name="squeezenet1_1", weights="IMAGENET1K_V1")
    again = load_model("torchvision", name="squeezenet1_1")
    assert torch.hub.get_dir() == before
    assert server.asked.count(f"/{name}") == 3, "refused by 404, by its hash, and taken"
    x = torch.rand(2, 3, 40, 40)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = network((x - mean.view(3, 1, 1)) / std.view(3, 1, 1))
    assert torch.allclose(loaded(x), expected, atol=1e-5)
    assert torch.equal(loaded(x), again(x))

    file.write_bytes(server.pages[name][:-9] + b"corrupted")
    with pytest.raises(DataError, match=r"has sha256 .*, not") as refused:
        load_model("torchvision", name="squeezenet1_1")
    assert "delete the file" in refused.value.hint
    assert file.exists()


def test_an_untrained_network_is_the_same_every_time_and_of_any_classes() -> None:
    x = torch.rand(2, 3, 32, 32)
    for plugin, name in (("torchvision", "squeezenet1_1"), ("timm", "test_efficientnet")):
        found = set()
        for seed in (7, 8):
            torch.manual_seed(seed)
            state = torch.random.get_rng_state()
            network = load_model(plugin, name=name, weights="none", num_classes=5)
            assert torch.equal(state, torch.random.get_rng_state())
            assert network(x).shape == (2, 5)
            found.add(tensors(network.state_dict()))
        assert len(found) == 1


@pytest.mark.parametrize("plugin", ["torchvision", "timm"])
def test_names_weights_and_classes_that_do_not_fit(plugin: str) -> None:
    with pytest.raises(ConfigError, match="'resnet19'") as refused:
        load_model(plugin, name="resnet19")
    assert "did you mean 'resnet1" in refused.value.hint
    near, good = {
        "torchvision": ("IMAGENET1K_V9", "IMAGENET1K_V1"),
        "timm": ("a1_in1", "a1_in1k"),
    }[plugin]
    with pytest.raises(ConfigError, match=f"unknown weights of resnet18 {near!r}") as refused:
        load_model(plugin, name="resnet18", weights=near)
    assert good in refused.value.hint
    with pytest.raises(ConfigError, match="num_classes"):
        load_model("torchvision", name="resnet18", num_classes=10)


def test_timm_weights_are_downloaded_once_and_normalised(
    server: Server,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import timm  # type: ignore[import-untyped]  # ships no types
    from huggingface_hub import constants

    place = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", place)
    torch.manual_seed(3)
    network = timm.create_model("test_vit").eval()
    with pytest.raises(DataError, match=r"timm's test_vit.r160_in1k cannot be downloaded"):
        load_model("timm", name="test_vit")
    server.pages["model.safetensors"] = safetensors.torch.save(network.state_dict())
    loaded = load_model("timm", name="test_vit")
    asked = [path for path in server.asked if path.endswith("safetensors")]
    assert asked == ["/timm/test_vit.r160_in1k/resolve/main/model.safetensors"]
    digest = hashlib.sha256(server.pages["model.safetensors"]).hexdigest()
    line = "note: model.safetensors of timm/test_vit.r160_in1k is not pinned: no hash was known"
    assert f"{line} beforehand; sha256 {digest}\n" in capsys.readouterr().err
    server.pages.clear()
    again = load_model("timm", name="test_vit", weights="r160_in1k", num_classes=1000)
    assert "not pinned" not in capsys.readouterr().err
    x = torch.rand(1, 3, 160, 160)
    assert torch.allclose(loaded(x), network((x - 0.5) / 0.5), atol=1e-5)
    assert torch.equal(loaded(x), again(x))
    with pytest.raises(ConfigError, match="num_classes is 10, the weights of test_vit have 1000"):
        load_model("timm", name="test_vit", num_classes=10)
    file = data / "models" / "timm" / "test_vit.r160_in1k" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DataError, match="cannot be loaded") as refused:
        load_model("timm", name="test_vit")
    assert str(file) in refused.value.hint
    file.write_text("<html>busy</html>")
    with pytest.raises(DataError, match="is a web page"):
        load_model("timm", name="test_vit")


def test_timm_offline_is_one_line_and_exit_2(
    data: Path,
    run_cli: Callable[..., Answer],
    config: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    text = '[run]\ndataset = "signs"\nmodel = { plugin = "timm", name = "resnet18" }\n'
    answer = run_cli("run", config(text + "[attacks]\nfgsm = {}\n"))
    assert (answer.code, answer.out) == (2, "")
    _, address, error, hint = answer.err.strip().split("\n")
    assert "/timm/resnet18.a1_in1k/resolve/main/model.safetensors (size not known" in address
    assert error.startswith("error: the weights of timm's resnet18.a1_in1k cannot be downloaded")
    assert "save model.safetensors of timm/resnet18.a1_in1k as" in hint
    assert not list(data.rglob("*.safetensors"))


def test_a_torchscript_file_runs_as_a_benchmark(
    run_cli: Callable[..., Answer], config: Callable[..., Path], tmp_path: Path
) -> None:
    network = save_script(tmp_path / "mine.pt")
    digest = hashlib.sha256((tmp_path / "mine.pt").read_bytes()).hexdigest()
    text = (
        '[run]\ndataset = "signs"\nlimit = 4\n'
        f'model = {{ plugin = "torchscript", path = "mine.pt", sha256 = "{digest}" }}\n'
        '[attacks]\nfgsm = { eps = "8/255" }\n'
    )
    answer = run_cli("run", config(text))
    assert answer.code == 0, answer.err
    written = records(tmp_path / "runs" / "tiny")
    x, _ = load_dataset("signs").load(range(4))
    expected = network(x).argmax(dim=1).tolist()
    clean = sorted((r for r in written if not r["rung"]), key=lambda r: r["position"])
    assert [r["clean_prediction"] for r in clean] == expected
    attacked = [r for r in written if r["attack"] == "fgsm"]
    assert [r["backwards"] for r in attacked] == [1.0] * 4


def test_the_code_of_a_torchscript_file_is_in_the_models_key(tmp_path: Path) -> None:
    x, keys = torch.rand(1, 3, 8, 8), []
    for sign in (1.0, -1.0):
        network = save_script(tmp_path / "mine.pt", sign=sign)
        loaded = load_model("torchscript", path=str(tmp_path / "mine.pt"))
        assert torch.allclose(loaded(x), network(x), atol=1e-6)
        keys.append((tensors(network.state_dict()), tensors(loaded.state_dict())))
    assert keys[0][0] == keys[1][0], "the weights are the same"
    assert keys[0][1] != keys[1][1]


def test_bad_torchscript_files(tmp_path: Path) -> None:
    path = tmp_path / "mine.pt"

    def refused(**arguments: Any) -> str:
        with pytest.raises((DataError, ConfigError)) as error:
            load_model("torchscript", path=str(path), **arguments)
        return str(error.value)

    assert "does not exist" in refused()
    network = save_script(path)
    assert "has sha256" in refused(sha256="0" * 64)
    assert "64 hexadecimal digits" in refused(sha256="12")
    path.write_bytes(path.read_bytes()[:500])
    assert "is no TorchScript, or damaged" in refused()
    torch.save(network.state_dict(), path)
    assert 'for a state dict take plugin = "checkpoint"' in refused()
    path.write_text("<html>not found</html>")
    assert "is a web page" in refused()


def test_checking_every_plugin_skips_them() -> None:
    registry = load_plugins()
    for name in ("robustbench", "torchvision", "timm", "checkpoint", "torchscript"):
        assert registry.get("model", name).needs_arguments, "else it would download"
