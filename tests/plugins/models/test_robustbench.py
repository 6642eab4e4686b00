"""The zoo of RobustBench, through its own loader and its own benchmark."""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from superdef_bench import DataError, load_model
from superdef_bench.nn.pretrained import guarded
from tests.support.cifar10 import CLASSES, write_cifar10
from tests.support.commands import Answer, records
from tests.support.pickles import Evil
from tests.support.plugin_files import plugin_module
from tests.support.zoo import write_zoo, zoo


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a data folder of its own, on a machine without network."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("SUPERDEF_BENCH_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that writes CIFAR-10 as it is on disk, with a few test images."""

    def write(pixels: np.ndarray, labels: list[int]) -> Path:
        return write_cifar10(tmp_path / "cifar", pixels, labels, monkeypatch)

    return write


class Linear(nn.Module):
    """A classifier whose robust accuracy is known in closed form."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3 * 32 * 32, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inner(x.flatten(1) - 0.5)
        return logits

    def reach(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the smallest linf distance to another class `(N,)`."""
        logits, weight = self(x), self.inner.weight
        margins = logits.gather(1, y[:, None]) - logits
        norms = (weight[y][:, None] - weight[None]).abs().sum(dim=2)
        return (margins / norms).scatter(1, y[:, None], torch.inf).amin(dim=1)


def run_benchmark(
    model: nn.Module, folder: Path, count: int, device: str, eps: float
) -> tuple[float, float]:
    """Return clean and robust accuracy by RobustBench itself."""
    plugin_module("models.robustbench.autoattack_alias").install_alias()
    with guarded():
        from robustbench.eval import benchmark
    with contextlib.redirect_stdout(io.StringIO()):
        found: tuple[float, float] = benchmark(
            model.eval(),
            n_examples=count,
            dataset="cifar10",
            threat_model="Linf",
            eps=eps,
            data_dir=str(folder),
            device=torch.device(device),
            batch_size=count,
        )
    return found


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(64, 192, (count, 32, 32, 3), dtype=np.uint8)


def test_its_loader_loads_what_lies_in_its_layout(data: Path) -> None:
    _, network = write_zoo(data)
    x = torch.rand(2, 3, 32, 32)
    loaded = load_model("robustbench", name="Wong2020Fast")
    assert not loaded.training
    assert torch.equal(loaded(x), network(x))


def test_the_command_line_runs_a_zoo_model(
    data: Path, run_cli: Callable[..., Answer], config: Callable[..., Path], tmp_path: Path
) -> None:
    write_zoo(data)
    for number, name in enumerate(CLASSES):
        place = tmp_path / "photos" / name
        place.mkdir(parents=True)
        Image.fromarray(pictures(10)[number]).save(place / "0.png")
    path = config(
        """
        [run]
        dataset = { plugin = "imagefolder", path = "photos" }
        model = { plugin = "robustbench", name = "Wong2020Fast" }
        limit = 4
        rungs = ["gray_box"]
        [attacks]
        fgsm = { eps = "8/255" }
        """
    )
    answer = run_cli("run", path)
    assert answer.code == 0, answer.err
    assert "robustbench" not in answer.err
    written = records(tmp_path / "runs" / "tiny")
    assert len({row["image_id"] for row in written}) == 4


@pytest.mark.parametrize(
    "survivors", [0, pytest.param(1, marks=pytest.mark.slow, id="1, which meets every attack")]
)
def test_its_benchmark_agrees_with_the_closed_form(
    survivors: int, cifar10: Callable[..., Path]
) -> None:
    torch.manual_seed(0)
    model, pixels = Linear(), pictures(4)
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        y = model(x).argmax(dim=1)
        reach = model.reach(x, y)
    y[3] = (y[3] + 1) % 10  # one image is wrong from the start
    near, far = reach[:3].sort().values[1:].tolist()
    assert near < 0.9 * far
    eps = (near + far) / 2 if survivors else 1.1 * far
    clean, robust = run_benchmark(model, cifar10(pixels, y.tolist()), 4, "cpu", eps=eps)
    assert (clean, robust) == (3 / 4, survivors / 4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_its_benchmark_runs_a_zoo_model_on_a_gpu(data: Path, cifar10: Callable[..., Path]) -> None:
    _, network = write_zoo(data)
    pixels = pictures(4)
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        y = network(x).argmax(dim=1)
    folder = cifar10(pixels, y.tolist())
    model = load_model("robustbench", name="Wong2020Fast")
    clean, robust = run_benchmark(model, folder, 4, "cuda", eps=8 / 255)
    assert next(model.parameters()).is_cuda
    assert clean == 1
    assert robust < 1, "random weights are no defense"


def test_a_name_that_the_zoo_lacks(
    data: Path, run_cli: Callable[..., Answer], config: Callable[..., Path]
) -> None:
    text = '[run]\ndataset = "signs"\nmodel = { plugin = "robustbench", name = "Wong2020Fats" }\n'
    answer = run_cli("run", config(text + "[attacks]\nfgsm = {}\n"))
    assert answer.code == 2
    assert "unknown RobustBench model for cifar10 Linf 'Wong2020Fats'" in answer.err
    assert "did you mean 'Wong2020Fast'?" in answer.err
    assert not data.exists()


def test_the_zoo_is_asked_for_the_name_before_images_are_downloaded(
    data: Path, run_cli: Callable[..., Answer], config: Callable[..., Path]
) -> None:
    text = '[run]\ndataset = "cifar10"\nmodel = {{ plugin = "robustbench", name = "{}" }}\n'
    path = config(text.format("Wong2020Fats") + "[attacks]\nfgsm = {}\n")
    answer = run_cli("run", path)
    assert (answer.code, answer.out) == (2, "")
    assert "line 3: unknown RobustBench model" in answer.err
    assert "cannot be downloaded" not in answer.err
    # A name that fits comes to the images, whose address, size and place are told.
    answer = run_cli("run", config(text.format("Wong2020Fast") + "[attacks]\nfgsm = {}\n"))
    assert answer.code == 2
    assert "cifar10 cannot be downloaded" in answer.err
    assert "cifar-10-python.tar.gz (170,498,071 bytes)" in answer.err
    assert str(data) in answer.err


def test_a_bad_zoo_checkpoint_is_one_line_and_exit_2(
    data: Path,
    run_cli: Callable[..., Answer],
    config: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, _ = write_zoo(data, {"state_dict": nn.Linear(2, 2).state_dict()})
    text = '[run]\ndataset = "signs"\nmodel = { plugin = "robustbench", name = "Wong2020Fast" }\n'
    written = config(text + "[attacks]\nfgsm = {}\n")
    marker = tmp_path / "the_code_ran"
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")

    def refused() -> str:
        answer = run_cli("run", written)
        assert (answer.code, answer.out) == (2, "")
        error, hint = answer.err.strip().split("\n")
        assert str(path) in error
        assert hint.startswith("hint: ")
        assert path.exists()
        return answer.err

    other = refused()
    assert "is not of Wong2020Fast: Error(s) in loading state_dict" in other
    assert "delete the file" in other
    torch.save([1, 2], path)
    assert "is not of Wong2020Fast" in refused()
    torch.save({"state_dict": {}, "more": Evil(marker)}, path)
    assert "holds pickled objects" in refused()
    assert not marker.exists()
    with pytest.warns(UserWarning, match="NO_WEIGHTS_ONLY_LOAD"):
        torch.load(path)  # what RobustBench would have done here
    assert marker.exists()
    path.write_bytes(path.read_bytes()[:200])
    assert "is damaged" in refused()
    path.write_text("<!DOCTYPE html><title>Google Drive - Quota exceeded</title>")
    assert "is a web page" in refused()


def test_a_download_that_fails_is_one_line_and_leaves_nothing(
    data: Path, run_cli: Callable[..., Answer], config: Callable[..., Path]
) -> None:
    for model in ('name = "Wong2020Fast"', 'name = "Standard_R50", dataset = "imagenet"'):
        text = f'[run]\ndataset = "signs"\nmodel = {{ plugin = "robustbench", {model} }}\n'
        answer = run_cli("run", config(text + "[attacks]\nfgsm = {}\n"))
        assert (answer.code, answer.out) == (2, "")
        assert "Downloading" in answer.err
        *_, error, hint = answer.err.strip().split("\n")
        assert error.startswith("error: the weights of")
        assert "cannot be downloaded" in error
        assert hint.startswith("hint: ")
        if "Fast" in model:
            assert str(Path("cifar10", "Linf", "Wong2020Fast.pt")) in hint
    assert not [file for file in data.rglob("*") if file.is_file()]


def test_a_checkpoint_that_robustbench_would_take_and_ignore_is_refused(data: Path) -> None:
    path = data / "models" / "imagenet" / "Linf" / "Salman2020Do_R18.pt"
    path.parent.mkdir(parents=True)
    torch.save({"state_dict": {"other.weight": torch.zeros(3)}}, path)
    with guarded():
        from robustbench.utils import load_model as theirs

        theirs("Salman2020Do_R18", model_dir=data / "models", dataset="imagenet")
    with pytest.raises(DataError, match="it gave 0 of 62 parameters"):
        load_model("robustbench", name="Salman2020Do_R18", dataset="imagenet")


@pytest.mark.slow
def test_an_ensemble_has_a_file_for_each_member(data: Path) -> None:
    name = "Chen2020Adversarial"
    network = zoo()[name]["model"]()
    for number, member in enumerate(network.models):
        path = data / "models" / "cifar10" / "Linf" / f"{name}.pt_m{number}.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(member.state_dict(), path)
    loaded = load_model("robustbench", name=name)
    assert all(
        torch.equal(a, b) for a, b in zip(loaded.parameters(), network.parameters(), strict=True)
    )
